package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"selvage/purge"
	"selvage/tlsmgr"
)

// certCommand is `selvage cert`: the certificates of this node.
type certCommand struct {
	Ls   certLs   `cmd:"" help:"List those that can run out, and the names that wait for one."`
	ECH  certECH  `cmd:"" name:"ech" help:"Make a key for Encrypted Client Hello: the file for tls.ech, and what goes into the DNS."`
	Root certRoot `cmd:"" help:"Print the root certificate of the node's own CA, for those who are to trust it."`
}

// certLs is `selvage cert ls`.
type certLs struct {
	Socket string `help:"Admin socket of the running node." placeholder:"PATH"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// Run asks the running node.
func (k *certLs) Run(c console) error {
	all, err := askCertificates(adminSocketPath(k.Socket, c.machine.env, os.Geteuid()))
	switch {
	case err != nil:
		return err
	case k.JSON:
		return printJSON(c.out, all)
	}
	return writeCertificates(c.out, all, time.Now(), c.style())
}

func askCertificates(socket string) (all []tlsmgr.Status, err error) {
	client := adminClient(socket)
	client.Timeout = time.Minute
	response, err := client.Get(adminURL + "/v1/certificates")
	if err != nil {
		return nil, fmt.Errorf("reach the running node: %w", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<20)).Decode(&all); err != nil {
		return nil, fmt.Errorf("the node answered %s and no list: %w", response.Status, err)
	}
	return all, nil
}

func (a *admin) serveCertificates(w http.ResponseWriter, _ *http.Request, _ *purge.Caller) {
	a.answerJSON(w, http.StatusOK, append([]tlsmgr.Status{}, a.certificates()...)) // none is [], not null
}

// writeCertificates prints a line for each, and a second one for what went wrong.
func writeCertificates(w io.Writer, all []tlsmgr.Status, now time.Time, style style) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "none that could run out")
		return err
	}
	const columns = "%-32s  %s  %7s  %-24s  %s\n"
	var b strings.Builder
	b.WriteString(style.dim(fmt.Sprintf(columns, "name", "days", "next", "issuer", "source")))
	for _, s := range all {
		next := "-"
		if !s.Next.IsZero() {
			next = humanSeconds(max(0, int64(s.Next.Sub(now).Seconds())))
		}
		fmt.Fprintf(&b, columns, printable(s.Name), daysLeft(s, now, style), next, printable(cmp.Or(s.Issuer, "-")), printable(s.Source))
		if s.Error != "" {
			fmt.Fprintf(&b, "    %s\n", style.bad(fmt.Sprintf("attempt %d: %s", max(1, s.Failures), printable(s.Error))))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// daysLeft is what is left of a certificate's life, in whole days.
func daysLeft(s tlsmgr.Status, now time.Time, style style) string {
	if s.Until.IsZero() {
		return style.bad("none")
	}
	days := int(math.Floor(s.Until.Sub(now).Hours() / 24))
	text := fmt.Sprintf("%4d", days)
	switch {
	case days < 0:
		return style.bad(text)
	case days < 7:
		return style.doubtful(text)
	}
	return style.good(text)
}

// certRoot is `selvage cert root`.
type certRoot struct {
	State string `help:"State folder of the node (tls.state)." placeholder:"DIR"`
	JSON  bool   `name:"json" help:"Print as JSON."`
}

// Run prints the certificate, and never its key. It needs no running node, but the right to read its folder.
func (k *certRoot) Run(c console) error {
	folder := stateFolder(k.State, c.machine.env, os.Geteuid())
	root, err := tlsmgr.LocalRoot(context.Background(), tlsmgr.NewFolder(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s has no CA yet: a node makes one when a site or listener has issuer or internal set", folder)
	case err != nil:
		return err
	case k.JSON:
		return printJSON(c.out, struct {
			Certificate string `json:"certificate"`
		}{string(root)})
	}
	_, err = c.out.Write(root)
	return err
}

// certECH is `selvage cert ech`.
type certECH struct {
	Name string `arg:"" help:"The name that is seen in the clear: one that this node has a certificate for." placeholder:"PUBLIC-NAME"`
	JSON bool   `name:"json" help:"Print as JSON."`
}

// Run prints the file, with the DNS parameter as a comment before it.
func (k *certECH) Run(c console) error {
	file, list, err := tlsmgr.NewECH(k.Name)
	if err != nil {
		return err
	}
	parameter := base64.StdEncoding.EncodeToString(list)
	if k.JSON {
		return printJSON(c.out, struct {
			File string `json:"file"`
			ECH  string `json:"ech"`
		}{string(file), parameter})
	}
	_, err = fmt.Fprintf(c.out, "The HTTPS records of all sites to be hidden (RFC 9848) get the parameter ech=%s\n\n%s", parameter, file)
	return err
}
