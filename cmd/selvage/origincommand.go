package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"selvage/origin"
)

// originCommand is `selvage origin`.
type originCommand struct {
	Ls originLs `cmd:"" help:"List the upstreams and what they are doing."`
}

// originLs is `selvage origin ls`.
type originLs struct {
	Socket string `help:"Admin socket of the running node." placeholder:"PATH"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// Run prints a line for every upstream.
func (k *originLs) Run(c console) error {
	all, err := askOrigins(adminSocketPath(k.Socket, c.machine.env, os.Geteuid()))
	if err != nil {
		return err
	}
	if k.JSON {
		return printJSON(c.out, all)
	}
	return writeOrigins(c.out, all, c.style())
}

func askOrigins(socket string) (all []originStatus, err error) {
	client := adminClient(socket)
	client.Timeout = time.Minute
	response, err := client.Get(adminURL + "/v1/origins")
	if err != nil {
		return nil, fmt.Errorf("reach the running node: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the node answered %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<20)).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the node's answer: %w", err)
	}
	return all, nil
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
	case origin.StateStarting:
		return style.doubtful(text)
	}
	return style.bad(text)
}
