package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"selvage/tlsmgr"
)

// certCommand is `selvage cert`: the certificates of this node.
type certCommand struct {
	Root certRoot `cmd:"" help:"Print the root certificate of the node's own CA, for those who are to trust it."`
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
