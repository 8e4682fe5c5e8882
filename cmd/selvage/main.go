// Selvage is an edge cache: a caching reverse proxy in one binary.
//
//	selvage run                                  the demo: an embedded site on loopback, and what to try
//	selvage run --from HOST --to URL             one site in front of one origin, on :80 and :443
//	selvage run --config selvage.yaml            everything else
//	selvage check selvage.yaml                   say what is wrong with a file, all at once
//	selvage reload                               have the running node read its file again
//	selvage purge URL...                         take away what is cached of them; also --prefix, --glob, --tag, --host,
//	                                             --site, --all; --soft makes it stale, --dry-run only tells
//	selvage purge - < urls.txt                   the same for many URLs, one a line
//	selvage cache ls | stat | scrub | rm URL     look into the disk tier of the running node
//	selvage cache ls --path DIR                  the same in the folder of a node that is stopped
//	selvage origin ls                            what the upstreams of the running node are doing
//	selvage origin drain | resume ORIGIN UPSTREAM
//	selvage origin weight ORIGIN UPSTREAM N      until the configuration is read again
//	selvage origin set ORIGIN URL...             other upstreams, likewise
//	selvage freeze SITE --for 2h                 leave its origins alone: what is stored is served; without SITE, which are
//	selvage thaw SITE                            end that
//	selvage cert ls                              the running node's certificates, and those it waits for
//	selvage cert root                            the root of the node's own CA, for those who are to trust it
//	selvage version
//
// Exit codes: 0 done, 1 failed (also: a scrub has found damage), 2 the command line or the configuration is wrong, 3 some of
// many purges were done before one failed, or a purge at some of many nodes.
//
// Signals of run: SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads (a file with errors keeps the one in
// force); SIGUSR1 reopens the access log.
//
// Admin endpoints, on a unix socket and, with a token, on TCP: GET /livez, GET /readyz, GET /metrics, POST /v1/reload,
// GET and PATCH /v1/origins, PUT /v1/origins/{origin}, GET /v1/sites, GET, PUT and DELETE /v1/sites/{site}/freeze,
// GET /v1/certificates; GET /v1/openapi-node.yaml describes those of origins and sites.
// Of the disk tier: GET /v1/cache (a line of JSON for every stored response), GET /v1/cache/stat, POST /v1/cache/scrub (lines
// of progress, then the report), DELETE /v1/cache?url=HOST/PATH?QUERY. A POST wants Content-Type: application/json.
// Of purges: POST /v1/purge, GET /v1/purges, GET /v1/purges/{number}; GET /v1/openapi.yaml describes them. They are all that a
// token of the purge section is good for. Errors are problem details (RFC 9457).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitPartly = 3
)

// commands is the command line.
type commands struct {
	Run     runCommand     `cmd:"" help:"Serve: a configuration file, one site from flags, or the demo."`
	Check   checkCommand   `cmd:"" help:"Check a configuration file."`
	Reload  reloadCommand  `cmd:"" help:"Have the running node read its configuration again."`
	Purge   purgeCommand   `cmd:"" help:"Take away what is cached, or make it stale."`
	Cache   cacheCommand   `cmd:"" help:"Look into the disk tier, check it, remove from it."`
	Origin  originCommand  `cmd:"" help:"Look at the upstreams of the running node."`
	Freeze  freezeCommand  `cmd:"" help:"Leave the origins of a site alone and serve what is stored, or tell which are frozen."`
	Thaw    thawCommand    `cmd:"" help:"End the freeze of a site."`
	Cert    certCommand    `cmd:"" help:"Look at this node's certificates."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// console is where a verb reads and writes.
type console struct {
	in               io.Reader
	out, err         io.Writer
	outTerm, errTerm bool // whether they are terminals
	width            int  // of the terminal, in characters; 0 is unknown
	machine          machine
}

func main() {
	os.Exit(run(os.Args[1:], thisConsole()))
}

func thisConsole() console {
	out, err := int(os.Stdout.Fd()), int(os.Stderr.Fd())
	width, _, _ := term.GetSize(out)
	return console{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, outTerm: term.IsTerminal(out), errTerm: term.IsTerminal(err),
		width: width, machine: thisMachine(),
	}
}

// run runs one command and returns its exit code.
func run(args []string, c console) int {
	parser, err := kong.New(&commands{},
		kong.Name("selvage"), kong.Description("An edge cache: a caching reverse proxy in one binary."),
		kong.Writers(c.out, c.err), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // the tags of commands are wrong
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(c.err, "selvage: %v; see selvage --help\n", err)
		return exitUsage
	}
	return c.finish(parsed.Run(c))
}

// finish reports the error of a verb and turns it into an exit code.
func (c console) finish(err error) int {
	var problems Diagnostics
	var usage usageError
	var wrong misuse
	var partly partlyError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &partly):
		fmt.Fprintf(c.err, "selvage: %v\n", err)
		return exitPartly
	case errors.As(err, &wrong):
		fmt.Fprintf(c.err, "selvage: %v\n", err)
		return exitUsage
	case errors.As(err, &problems):
		problems.print(c.err, c.errTerm)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "selvage: %v; see selvage --help\n", err)
		return exitUsage
	}
	fmt.Fprintf(c.err, "selvage: %v\n", err)
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }
