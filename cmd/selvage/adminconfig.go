package main

import (
	"fmt"
	"net"
	"strings"
)

func (c AdminConfig) validate(m machine, report func(path, problem, hint string)) {
	if len(c.Socket) > maxSocketPath {
		report("socket", fmt.Sprintf("a socket's path has at most %d bytes", maxSocketPath), "")
	}
	validateAddress("address", c.Address, report)
	validateAddress("health", c.Health, report)
	switch {
	case c.Address != "" && c.Token == "":
		report("address", "needs a token", "write token: env:NAME or token: file:/path")
	case c.Token != "":
		if _, err := c.token(m); err != nil {
			report("token", err.Error(), "")
		}
	}
}

// maxSocketPath is what sockaddr_un holds on every system we build for, less its final zero.
const maxSocketPath = 103

func validateAddress(path, address string, report func(path, problem, hint string)) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		report(path, fmt.Sprintf("%q is not an address", address), "write it as in 127.0.0.1:9090 or [::1]:9090")
	}
}

// token reads the bearer token from where the configuration says it is. Its errors do not hold what was configured: it
// may be the token itself, put in the wrong place.
func (c AdminConfig) token(m machine) (string, error) {
	text, err := m.secret(c.Token)
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(text); len(text) < minTokenBytes {
		return "", fmt.Errorf("the token has %d bytes, and needs at least %d", len(text), minTokenBytes)
	}
	return text, nil
}

// minTokenBytes makes guessing hopeless even for a token of hexadecimal digits.
const minTokenBytes = 16
