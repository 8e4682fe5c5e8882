package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// nodePlace are the flags of verbs that ask the node of this machine.
type nodePlace struct {
	Socket string `help:"Admin socket of the running node." placeholder:"PATH"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

func (k *nodePlace) socket(c console) string {
	return adminSocketPath(k.Socket, c.machine.env, os.Geteuid())
}

// adminURL is where the client of adminClient asks; the name in it means nothing.
const adminURL = "http://selvage"

// adminClient asks the node behind a socket, whatever the URL.
func adminClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// askNode asks the node behind a socket, and decodes what it answers.
func askNode(socket, method, path string, body []byte, into any) error {
	r, err := http.NewRequest(method, adminURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	client := adminClient(socket)
	client.Timeout = time.Minute
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("reach the running node: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the node answered %s: %w", response.Status, readProblem(response))
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}
