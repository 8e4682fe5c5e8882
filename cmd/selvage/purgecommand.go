package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"selvage/purge"
)

// purgeCommand is `selvage purge`.
type purgeCommand struct {
	URLs   []string `arg:"" optional:"" name:"url" help:"URLs, with all their variants. A - reads more from standard input, one a line."`
	Prefix []string `help:"All URLs that begin with it, such as example.com/blog/." placeholder:"URL" sep:"none"`
	Glob   []string `help:"All URLs that match; a * stands for anything." placeholder:"PATTERN" sep:"none"`
	Tag    []string `help:"All that has a tag." placeholder:"TAG" sep:"none"`
	Host   []string `help:"All of a host." placeholder:"HOST" sep:"none"`
	Site   []string `help:"All of a site, by its name." placeholder:"NAME" sep:"none"`
	All    bool     `help:"Everything."`

	Soft   bool   `help:"Make it stale, instead of taking it away."`
	DryRun bool   `help:"Tell what would be purged, and purge nothing."`
	Why    string `help:"For the history." placeholder:"TEXT"`
	Wait   bool   `help:"Go on trying for a minute when the node is busy, cannot write, or is not there yet."`
	JSON   bool   `name:"json" help:"Print each answer of the node as JSON."`

	Socket string   `help:"Admin socket of the running node." placeholder:"PATH" xor:"node"`
	Config string   `help:"Configuration file of the running node, which says where its socket is." placeholder:"FILE" xor:"node"`
	Server []string `help:"URL of a node's admin listener, in place of the one that runs here. Of several each is asked once the one before it is done." placeholder:"URL" xor:"node" sep:"none"`
	Token  string   `help:"Where the token for --server is." placeholder:"env:NAME|file:PATH"`
}

// waitTime is how long --wait goes on.
const waitTime = time.Minute

// Run purges what the flags select at once, and URLs from standard input after them, so many at a time as one purge holds.
func (k *purgeCommand) Run(c console) error {
	fromInput := slices.Contains(k.URLs, "-")
	what := k.request()
	if !fromInput && reflect.DeepEqual(what.Selection, purge.Selection{}) {
		return usageError("say what to purge: URLs, or --prefix, --glob, --tag, --host, --site or --all")
	}
	clients, err := k.clients(c.machine)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := &purgeTask{clients: clients, command: k, console: c, line: newProgress(c)}
	if !fromInput {
		return t.purge(ctx, what)
	}
	return t.purgeLines(ctx, what, c.in)
}

// request is what the flags select.
func (k *purgeCommand) request() *purge.Request {
	urls := slices.DeleteFunc(slices.Clone(k.URLs), func(u string) bool { return u == "-" })
	if len(urls) == 0 {
		urls = nil
	}
	return &purge.Request{Soft: k.Soft, Why: k.Why, Selection: purge.Selection{
		URLs: urls, Prefixes: k.Prefix, Globs: k.Glob, Tags: k.Tag, Hosts: k.Host, Sites: k.Site, All: k.All,
	}}
}

// clients are for the nodes that are meant, in the order in which they are asked.
func (k *purgeCommand) clients(m machine) (all []*purgeClient, err error) {
	if len(k.Server) == 0 {
		if k.Token != "" {
			return nil, usageError("--token is for --server: the admin socket needs none")
		}
		socket, err := k.socket(m)
		if err != nil {
			return nil, err
		}
		all = append(all, newSocketClient(socket))
	}
	for _, server := range k.Server {
		token, err := k.tokenFor(server, m)
		if err != nil {
			return nil, err
		}
		all = append(all, newServerClient(server, token))
	}
	for _, c := range all {
		if k.Wait {
			c.patience = waitTime
		}
	}
	return all, nil
}

func (k *purgeCommand) socket(m machine) (string, error) {
	if k.Config == "" {
		return adminSocketPath(k.Socket, m.env, os.Geteuid()), nil
	}
	configured, err := configuredSocket(k.Config, m)
	return adminSocketPath(configured, m.env, os.Geteuid()), err
}

// tokenFor reads the token, and keeps it from going where others could read it.
func (k *purgeCommand) tokenFor(server string, m machine) (string, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "":
		return "", usageError("--server wants a URL such as http://127.0.0.1:9090")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", usageError("--server over http would show the token to others on the way; that is for loopback alone")
	case k.Token == "":
		return "", usageError("--server wants a --token")
	}
	text, err := m.secret(k.Token)
	if err != nil {
		return "", usageError("--token: " + err.Error())
	}
	return strings.TrimSpace(text), nil
}

// purgeTask is one run of the command.
type purgeTask struct {
	clients []*purgeClient
	command *purgeCommand
	console console
	line    *progress

	purges int // that were done
	urls   int // of them, from standard input
}

// purge does one purge at every node, and prints what came of it. A node is asked once those before it are done: behind one
// that is not, it would fill up again with what was to go.
func (t *purgeTask) purge(ctx context.Context, what *purge.Request) error {
	for i, client := range t.clients {
		if err := t.purgeAt(ctx, client, what); err != nil && i > 0 {
			return partlyError{fmt.Errorf("%s, after %s, where it is done: %w", client.base, count(i, "node"), err)}
		} else if err != nil {
			return err
		}
	}
	t.purges++
	return nil
}

func (t *purgeTask) purgeAt(ctx context.Context, client *purgeClient, what *purge.Request) error {
	answer, err := client.purge(ctx, what, t.command.DryRun)
	t.line.clear()
	switch {
	case err != nil:
		return err
	case t.command.JSON:
		return printJSON(t.console.out, answer)
	case len(t.clients) > 1:
		fmt.Fprintln(t.console.out, client.base)
	}
	return writeAnswer(t.console, answer)
}

// purgeLines purges the URLs that are read, after what the flags select. Lines that are empty or begin with # are passed over.
// When one of several purges fails, those before it are done: that is the error exitPartly.
func (t *purgeTask) purgeLines(ctx context.Context, what *purge.Request, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxURLLine)
	for lines.Scan() {
		url := strings.TrimSpace(lines.Text())
		if url == "" || strings.HasPrefix(url, "#") {
			continue
		}
		what.URLs = append(what.URLs, url)
		if selectors(what) < purge.MaxNames {
			continue
		}
		if err := t.purgeBatch(ctx, what); err != nil {
			return err
		}
		what = &purge.Request{Soft: what.Soft, Why: what.Why}
	}
	if err := lines.Err(); err != nil {
		return t.partly(fmt.Errorf("read standard input: %w", err))
	}
	if selectors(what) == 0 && !what.All {
		if t.purges == 0 {
			return usageError("there is no URL on standard input")
		}
		return nil
	}
	return t.purgeBatch(ctx, what)
}

// maxURLLine is more than any request line has.
const maxURLLine = 64 << 10

func selectors(r *purge.Request) int {
	return len(r.URLs) + len(r.Prefixes) + len(r.Globs) + len(r.Tags) + len(r.Hosts) + len(r.Sites)
}

func (t *purgeTask) purgeBatch(ctx context.Context, what *purge.Request) error {
	if err := t.purge(ctx, what); err != nil {
		return t.partly(err)
	}
	t.urls += len(what.URLs)
	t.line.say(fmt.Sprintf("%d URLs so far", t.urls))
	return nil
}

// partly is err, if nothing was done before it.
func (t *purgeTask) partly(err error) error {
	t.line.clear()
	if t.purges == 0 {
		return err
	}
	return partlyError{fmt.Errorf("after the first %d URLs, which are done: %w", t.urls, err)}
}

// partlyError is what went wrong when something was done before it.
type partlyError struct{ error }

func (e partlyError) Unwrap() error { return e.error }

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}
