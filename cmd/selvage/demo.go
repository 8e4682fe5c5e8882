package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"selvage/edge"
	"selvage/origin"
	"selvage/testdata/site"
)

// demo is everything that `selvage run` with nothing else opens: an origin with a small site, and an edge in front of it.
type demo struct {
	origin, http, https net.Listener
	site                *demoSite
	folder              string // private, removed at the end
	socket              string // of the admin side
}

// demo serves the embedded site until a signal ends it, and says what to try.
func (k *runCommand) demo(c console, log *slog.Logger) error {
	d, err := k.openDemo()
	if err != nil {
		return err
	}
	defer os.RemoveAll(d.folder)
	f := d.file()
	n, err := newNode(f, "", c.machine, log, d)
	if err != nil {
		return err
	}
	d.banner(f).print(c)
	return d.serve(n, catchSignals())
}

func (k *runCommand) openDemo() (d *demo, err error) {
	d = new(demo)
	if d.site, err = newDemoSite(site.Files, time.Second); err != nil {
		return nil, err
	}
	if d.origin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if d.http, err = listenNear(k.HTTP, "127.0.0.1", 8080); err != nil {
		return nil, err
	}
	if d.https, err = listenNear(k.HTTPS, "127.0.0.1", 8443); err != nil {
		return nil, err
	}
	d.folder, err = os.MkdirTemp("", "selvage-demo-")
	d.socket = orDefault(k.Socket, filepath.Join(d.folder, "admin.sock"))
	return d, err
}

// listenNear listens on address, or, when there is none, on the first free port of host from `port` on.
func listenNear(address, host string, port int) (net.Listener, error) {
	if address != "" {
		return net.Listen("tcp", address)
	}
	for p := port; p < port+20; p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// listen hands the edge the listeners that are open already.
func (d *demo) listen(network, address string) (net.Listener, error) {
	for _, l := range []net.Listener{d.http, d.https} {
		if l.Addr().String() == address {
			return l, nil
		}
	}
	return net.Listen(network, address)
}

func (d *demo) listenPacket(network, address string) (net.PacketConn, error) {
	return net.ListenPacket(network, address)
}

// demoMemory is enough for the whole site: an eighth of it is more than the bolt.
const demoMemory = 128 << 20

// file is the configuration of the demo.
func (d *demo) file() *File {
	f := DefaultFile()
	f.Memory = demoMemory
	f.Admin.Socket = d.socket
	f.Purge.Allow = []string{"127.0.0.0/8", "::1"}
	f.Listeners = []edge.ListenerConfig{
		{Address: d.http.Addr().String()},
		{Address: d.https.Addr().String(), TLS: &edge.TLSConfig{SelfSigned: true}},
	}
	to := origin.DefaultConfig()
	to.URLs = []string{"http://" + d.origin.Addr().String()}
	f.Origins = map[string]origin.Config{"demo": to}
	f.Sites = []siteConfig{{SiteConfig: edge.SiteConfig{Name: "demo", Default: true, Origin: "demo"}}}
	return &f
}

// serve runs the edge and its origin; the origin goes last, as it would in the world.
func (d *demo) serve(n *node, signals <-chan os.Signal) error {
	server := &http.Server{Handler: d.site, ReadHeaderTimeout: 10 * time.Second}
	var g errgroup.Group
	g.Go(func() error {
		if err := server.Serve(d.origin); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the demo's origin: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		defer server.Shutdown(context.Background())
		return n.run(signals)
	})
	return g.Wait()
}

// banner is what the demo says at its start.
type banner struct {
	facts  [][2]string
	trials []trial
}

// trial is a command line to try and what it will show.
type trial struct{ command, shows string }

func (d *demo) banner(f *File) banner {
	plain, secure := "http://"+d.http.Addr().String(), "https://"+d.https.Addr().String()
	return banner{
		facts: [][2]string{
			{"Look", plain + "/   or, with a certificate made just now, " + secure + "/"},
			{"Origin", f.Origins["demo"].URLs[0] + "   the site itself, in this process"},
			{"Admin", f.Admin.Socket},
		},
		trials: []trial{
			{"curl -so /dev/null -D - -w 'took %{time_total} s\\n' " + plain + "/weave.svg",
				"Twice. The origin takes a second to make this picture: fwd=uri-miss; stored. Then it is a hit, at once, with its Age. " +
					"After ten seconds it is stale, is still served at once, and a new one is fetched meanwhile."},
			{"curl -X PURGE " + plain + "/weave.svg",
				"Gone, before the answer is here: the next visitor waits for a new one. `selvage purge` knows tags and prefixes too."},
			{"curl -i -r 5000000-5000063 " + plain + "/bolt.txt",
				"206, and a line that says where it lies. The edge fetches all ten mebibytes, once; other ranges are hits from then on."},
			{"curl -kso /dev/null -D - " + secure + "/account",
				"HTTP/2. The origin says no-store: each visit is passed on, and nothing of it is kept."},
			{"curl -s --unix-socket " + f.Admin.Socket + " http://selvage/metrics",
				"What was counted on the way, in Prometheus's format."},
		},
	}
}

func (b banner) print(c console) {
	style := c.style()
	fmt.Fprintf(c.out, "\n%s\n\n", style.bold("Selvage: a small site behind an edge cache, all of it in this process."))
	for _, f := range b.facts {
		fmt.Fprintf(c.out, "  %s %s\n", style.dim(fmt.Sprintf("%-7s", f[0])), f[1])
	}
	fmt.Fprintf(c.out, "\nTo try:\n")
	for _, t := range b.trials {
		fmt.Fprintf(c.out, "\n  %s\n", style.command(t.command))
		writeWrapped(c.out, t.shows, "      ", c.width)
	}
	fmt.Fprintf(c.out, "\nEvery request is a line below. Ctrl-C ends it all.\n\n")
}
