package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"selvage/purge"
)

// purgeClient asks a node to purge: the one behind a socket, or the one at a URL, with a token.
type purgeClient struct {
	http  *http.Client
	base  string // of all URLs
	token string // "" for none

	patience time.Duration // how long to go on when the node cannot, just now
}

// purgeTime bounds one request: the longest is a dry run through a large disk tier.
const purgeTime = time.Minute

// newSocketClient is for the running node of this machine.
func newSocketClient(socket string) *purgeClient {
	c := &purgeClient{http: adminClient(socket), base: adminURL}
	c.http.Timeout = purgeTime
	return c
}

// newServerClient is for a node anywhere. It follows no redirect and uses no proxy: the token is for that node alone.
func newServerClient(base, token string) *purgeClient {
	return &purgeClient{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{
		Timeout:       purgeTime,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// purge asks, and as long as there is patience, asks again a node that cannot be reached, is busy, or cannot write. To purge
// twice does no harm.
func (c *purgeClient) purge(ctx context.Context, what *purge.Request, dry bool) (*purge.Answer, error) {
	deadline := time.Now().Add(c.patience)
	for {
		answer, pause, err := c.try(ctx, what, dry)
		if pause == 0 || !time.Now().Add(pause).Before(deadline) {
			return answer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try asks once. After an error that may pass, pause is how long to wait.
func (c *purgeClient) try(ctx context.Context, what *purge.Request, dry bool) (a *purge.Answer, pause time.Duration, err error) {
	r, err := c.request(ctx, what, dry)
	if err != nil {
		return nil, 0, err
	}
	response, err := c.http.Do(r)
	switch {
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case err != nil:
		return nil, time.Second, fmt.Errorf("reach the node: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		a = new(purge.Answer)
		if err := json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(a); err != nil {
			return nil, 0, fmt.Errorf("read the node's answer: %w", err)
		}
		return a, 0, nil
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		pause = time.Duration(max(1, min(seconds, 60))) * time.Second
	}
	return nil, pause, refusal(response)
}

func (c *purgeClient) request(ctx context.Context, what *purge.Request, dry bool) (*http.Request, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	target := c.base + "/v1/purge"
	if dry {
		target += "?dry_run=true"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// refusal is the error that an answer stands for. What cannot be purged as it is written is an error of the command line.
func refusal(response *http.Response) error {
	err := fmt.Errorf("the node answered %s: %w", response.Status, readProblem(response))
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return misuse{err}
	}
	return err
}

// misuse is an error of the command line that the node has found.
type misuse struct{ error }

func (e misuse) Unwrap() error { return e.error }

// readProblem reads what is wrong from an answer.
func readProblem(response *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	var p purge.Problem
	if json.Unmarshal(text, &p) == nil && p.Error() != "" {
		return errors.New(printableLines(p.Error()))
	}
	return errors.New(printableLines(strings.TrimSpace(string(text))))
}

// printableLines is printable for text of several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
