package main

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"

	"selvage/edge"
	"selvage/origin"
	"selvage/tlsmgr"
)

// runCommand is `selvage run`.
type runCommand struct {
	Config string `help:"Configuration file." placeholder:"FILE"`
	From   string `help:"Host of the one site to serve." placeholder:"HOST"`
	To     string `help:"Where its content comes from." placeholder:"URL"`
	HTTP   string `name:"http" help:"Address for http, without a file. Default :80; 127.0.0.1:8080 in the demo." placeholder:"ADDR"`
	HTTPS  string `name:"https" help:"Address for https, without a file. Default :443; 127.0.0.1:8443 in the demo." placeholder:"ADDR"`
	Socket string `help:"Admin socket, without a file." placeholder:"PATH"`
}

// Run serves until a signal ends it.
func (k *runCommand) Run(c console) error {
	log := newLogger(c.err, c.errTerm)
	switch {
	case k.Config != "" && *k != runCommand{Config: k.Config}:
		return usageError("--config says everything; the other flags are for running without a file")
	case k.Config != "":
		f, err := LoadFile(k.Config, c.machine)
		if err != nil {
			return err
		}
		return serve(f, k.Config, c, log)
	case k.From == "" && k.To == "":
		return k.demo(c, log)
	case k.From == "" || k.To == "":
		return usageError("--from and --to go together")
	}
	f, err := k.file(c.machine)
	if err != nil {
		return err
	}
	k.explain(f, log)
	return serve(f, "", c, log)
}

// serve runs a node of f, whose name is that of the file it came from, if any.
func serve(f *File, name string, c console, log *slog.Logger) error {
	sockets, err := inheritSockets()
	if err != nil {
		return err
	}
	signals := catchSignals()
	if len(sockets.inherited) > 0 && taken(f, c.machine) {
		s := &succession{f: f, name: name, machine: c.machine, log: log, sockets: sockets, signals: signals}
		return s.run()
	}
	n, err := newNode(f, name, c.machine, log, sockets)
	if err != nil {
		return err
	}
	sockets.closeUnused(log)
	return n.run(signals)
}

// catchSignals starts before anything is served: a signal that comes early is kept.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, nodeSignals...)
	return signals
}

// file is the configuration that --from and --to stand for.
func (k *runCommand) file(m machine) (*File, error) {
	f := DefaultFile()
	f.Memory = defaultMemory(m.memoryLimit)
	f.Admin.Socket = k.Socket
	f.Listeners = []edge.ListenerConfig{
		{Address: orDefault(k.HTTP, ":80")},
		{Address: orDefault(k.HTTPS, ":443"), TLS: &edge.TLSConfig{}},
	}
	to := origin.DefaultConfig()
	to.URLs = []string{strings.TrimSuffix(k.To, "/")}
	if authority, isTLS := strings.CutPrefix(to.URLs[0], "https://"); isTLS {
		// A site of its own behind its own name: asked for the client's Host it would answer for another, or not at all.
		to.Host = authority
	}
	f.Origins = map[string]origin.Config{"origin": to}
	site := siteConfig{SiteConfig: edge.SiteConfig{Hosts: []string{k.From}, Origin: "origin"}}
	if k.orders() {
		f.TLS.ACME.AcceptTerms = true
	} else {
		site.TLS.Issuer = "internal"
	}
	f.Sites = []siteConfig{site}
	return &f, f.checkFlags(m)
}

// orders reports whether the site's certificate can come from a CA that the world trusts: it has a public name, and a
// listener that is not for this machine alone.
func (k *runCommand) orders() bool {
	host, _, _ := net.SplitHostPort(k.HTTPS)
	address, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && address.IsLoopback()
	return tlsmgr.Public(k.From) && !loopback
}

// explain says what the flags have decided about certificates.
func (k *runCommand) explain(f *File, log *slog.Logger) {
	if k.orders() {
		log.Info("the certificate is ordered from a public CA, whose terms of service this accepts; the name has to lead here, on ports 80 and 443",
			"name", k.From, "directory", f.TLS.ACME.Directory)
		return
	}
	log.Info("the certificate is this node's own: no public CA can certify that name or reach that address; `selvage cert root` prints what to trust",
		"name", k.From)
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// checkFlags returns what is wrong with a file made from flags, in their words.
func (f *File) checkFlags(m machine) error {
	flags := strings.NewReplacer("sites.0.hosts", "--from", "origins.origin.urls", "--to", "listeners.0.address", "--http",
		"listeners.1.address", "--https", "admin.socket", "--socket")
	var problems []string
	f.validate(m, func(path, problem, hint string) {
		flag, _, _ := strings.Cut(flags.Replace(canonical(path)), ".")
		d := Diagnostic{File: flag, Problem: problem, Hint: hint}
		problems = append(problems, d.String())
	})
	if len(problems) > 0 {
		return usageError(strings.Join(problems, "\n"))
	}
	return nil
}

// newLogger is the process log: JSON lines off a terminal, readable ones on it.
func newLogger(w io.Writer, terminal bool) *slog.Logger {
	if terminal {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}
