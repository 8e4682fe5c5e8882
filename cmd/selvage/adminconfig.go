package main

import (
	"fmt"
	"net"
	"reflect"

	"selvage/purge"
)

// validate reports what is wrong. tokens tells whether there are any besides the admin token.
func (c AdminConfig) validate(m machine, tokens bool, report func(path, problem, hint string)) {
	if len(c.Socket) > maxSocketPath {
		report("socket", fmt.Sprintf("a socket's path has at most %d bytes", maxSocketPath), "")
	}
	validateAddress("address", c.Address, report)
	validateAddress("health", c.Health, report)
	if c.Address != "" && c.Token == "" && !tokens {
		report("address", "needs a token", "write token: env:NAME or token: file:/path")
	}
	if _, err := c.hash(m.secret); err != nil {
		report("token", err.Error(), "")
	}
}

// configuredSocket returns what a file says of the admin socket. Nothing else in it is judged: who uses the socket need not have
// the secrets that the file names.
func configuredSocket(name string, m machine) (string, error) {
	l := &loader{machine: m, places: make(map[string]place), broken: make(map[string]bool)}
	f := DefaultFile()
	if src, ok := l.read(name, position{}); ok {
		l.decode(src, reflect.ValueOf(&f).Elem())
	}
	if l.unread {
		return "", l.problems
	}
	return f.Admin.Socket, nil
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

// hash reads the hash of the admin token; nil without one.
func (c AdminConfig) hash(secrets purge.Secrets) (*purge.TokenHash, error) {
	if c.Token == "" {
		return nil, nil
	}
	h, err := purge.ReadToken(c.Token, secrets)
	return &h, err
}
