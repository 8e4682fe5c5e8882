package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"
)

// sitePlace are the flags of freeze and thaw.
type sitePlace struct{ nodePlace }

// freezeCommand is `selvage freeze`.
type freezeCommand struct {
	sitePlace
	Site string `arg:"" optional:"" help:"Name of the site. Without one: tell which are frozen."`
	For  string `help:"How long, as in 30m or 2h." default:"1h" placeholder:"TIME"`
	Why  string `help:"For the log, and for those who look." placeholder:"TEXT"`
}

// Run has the origins of the site left alone, or tells which are.
func (k *freezeCommand) Run(c console) error {
	if k.Site == "" {
		var all []siteStatus
		if err := askNode(k.socket(c), http.MethodGet, "/v1/sites", nil, &all); err != nil {
			return err
		}
		return k.print(c, all, all)
	}
	body, err := json.Marshal(freezeRequest{k.For, k.Why})
	if err != nil {
		return err
	}
	return k.change(c, k.Site, http.MethodPut, body)
}

// thawCommand is `selvage thaw`.
type thawCommand struct {
	sitePlace
	Site string `arg:"" help:"Name of the site."`
}

// Run ends a freeze.
func (k *thawCommand) Run(c console) error { return k.change(c, k.Site, http.MethodDelete, nil) }

// change asks for a change of a site, and tells how it is then.
func (k *sitePlace) change(c console, site, method string, body []byte) error {
	var s siteStatus
	if err := askNode(k.socket(c), method, "/v1/sites/"+url.PathEscape(site)+"/freeze", body, &s); err != nil {
		return err
	}
	return k.print(c, s, []siteStatus{s})
}

func (k *sitePlace) print(c console, answer any, sites []siteStatus) error {
	if k.JSON {
		return printJSON(c.out, answer)
	}
	return writeSites(c.out, sites, time.Now(), c.style())
}

func writeSites(w io.Writer, sites []siteStatus, now time.Time, style style) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "site\tstate")
	for _, s := range sites {
		state := "open"
		if f := s.Frozen; f != nil {
			state = "frozen for " + humanSeconds(max(0, int64(f.Until.Sub(now).Seconds())))
			if f.Why != "" {
				state += ", " + printable(f.Why)
			}
			state = style.doubtful(state)
		}
		fmt.Fprintf(table, "%s\t%s\n", printable(s.Site), state)
	}
	return table.Flush()
}
