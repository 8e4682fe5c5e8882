package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"selvage/origin"
)

// originCommand is `selvage origin`.
type originCommand struct {
	Ls     originLs     `cmd:"" help:"List the upstreams and what they are doing."`
	Drain  originDrain  `cmd:"" help:"Send an upstream no more requests; those in flight are finished."`
	Resume originResume `cmd:"" help:"Send an upstream requests again."`
	Weight originWeight `cmd:"" help:"Change the weight of an upstream."`
	Set    originSet    `cmd:"" help:"Replace the upstreams of an origin; requests under way are finished where they are."`
}

// originPlace are the flags of all of them.
type originPlace struct{ nodePlace }

// upstreamPlace says which upstream is meant.
type upstreamPlace struct {
	originPlace
	Origin   string `arg:"" help:"Name of the origin."`
	Upstream string `arg:"" help:"The upstream, as origin ls names it."`
}

// originLs is `selvage origin ls`.
type originLs struct{ originPlace }

// Run prints a line for every upstream, and which sites leave theirs alone.
func (k *originLs) Run(c console) error {
	if err := k.print(c, http.MethodGet, "", nil); err != nil || k.JSON {
		return err
	}
	var sites []siteStatus
	if err := askNode(k.socket(c), http.MethodGet, "/v1/sites", nil, &sites); err != nil {
		return err
	}
	sites = slices.DeleteFunc(sites, func(s siteStatus) bool { return s.Frozen == nil })
	if len(sites) == 0 {
		return nil
	}
	fmt.Fprintln(c.out)
	return writeSites(c.out, sites, time.Now(), c.style())
}

// originDrain is `selvage origin drain`.
type originDrain struct{ upstreamPlace }

// Run has the upstream drained.
func (k *originDrain) Run(c console) error { return k.change(c, origin.Change{Drain: new(true)}) }

// originResume is `selvage origin resume`.
type originResume struct{ upstreamPlace }

// Run ends that.
func (k *originResume) Run(c console) error { return k.change(c, origin.Change{Drain: new(false)}) }

// originWeight is `selvage origin weight`.
type originWeight struct {
	upstreamPlace
	To int `arg:"" help:"From 1 to 1000."`
}

// Run changes the weight.
func (k *originWeight) Run(c console) error { return k.change(c, origin.Change{Weight: &k.To}) }

// originSet is `selvage origin set`.
type originSet struct {
	originPlace
	Origin string   `arg:"" help:"Name of the origin."`
	URLs   []string `arg:"" name:"url" help:"The upstreams, as in the file's urls."`
}

// Run replaces the upstreams, and prints what all are doing then.
func (k *originSet) Run(c console) error {
	body, err := json.Marshal(upstreamSet{URLs: k.URLs})
	if err != nil {
		return err
	}
	return k.print(c, http.MethodPut, "/"+url.PathEscape(k.Origin), body)
}

// change changes the upstream, and prints what all are doing then.
func (k *upstreamPlace) change(c console, change origin.Change) error {
	body, err := json.Marshal(originChange{k.Origin, k.Upstream, change})
	if err != nil {
		return err
	}
	return k.print(c, http.MethodPatch, "", body)
}

// print asks the endpoint for origins, or one below it.
func (k *originPlace) print(c console, method, below string, body []byte) error {
	var all []originStatus
	if err := askNode(k.socket(c), method, "/v1/origins"+below, body, &all); err != nil {
		return err
	}
	if k.JSON {
		return printJSON(c.out, all)
	}
	return writeOrigins(c.out, all, c.style())
}

// writeOrigins prints a table. The state comes last: it may be coloured, and says why.
func writeOrigins(w io.Writer, all []originStatus, style style) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "origin\tupstream\tweight\tin flight\tlatency\tanswers\tfailures\tstate")
	for _, o := range all {
		for _, s := range o.Upstreams {
			fmt.Fprintf(table, "%s\t%s\t%.3g\t%d\t%s\t%d\t%d\t%s\n",
				o.Origin, s.Upstream, s.Weight, s.InFlight, humanLatency(s.Latency), s.Answers, s.Failures, upstreamState(s, style))
		}
		if o.Out {
			fmt.Fprintf(table, "%s\t%s\n", o.Origin, style.bad("none is left that can be expected to answer"))
		}
		if o.Queued > 0 {
			fmt.Fprintf(table, "%s\t%s\n", o.Origin, style.doubtful(count(o.Queued, "request")+" waiting"))
		}
	}
	return table.Flush()
}

func humanLatency(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Microsecond).String()
}

func upstreamState(s origin.UpstreamStatus, style style) string {
	words := []string{s.State}
	if s.Backup {
		words = append(words, "backup")
	}
	if s.Why != "" {
		words = append(words, printable(s.Why))
	}
	text := strings.Join(words, ", ")
	switch s.State {
	case origin.StateUp:
		return style.good(text)
	case origin.StateStarting, origin.StateDraining:
		return style.doubtful(text)
	}
	return style.bad(text)
}
