package tlsmgr

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// fileSource gives certificates that are kept in files.
type fileSource struct {
	pairs []*pair // owned by whoever builds the source, then by the Manager's Run
	// anyName gives a certificate for any name at all: a listener's is better than none.
	anyName bool
	shelf   atomic.Pointer[shelf]
	loaded  atomic.Pointer[[]Status]
}

// pair is a certificate and its key.
type pair struct {
	FileConfig
	certificate *tls.Certificate
	seen        [2]stamp // of the files when they were last read, good or bad
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// openFiles reads all, or says what is wrong with the first that cannot be used.
func openFiles(configs []FileConfig, anyName bool) (*fileSource, error) {
	s := &fileSource{anyName: anyName}
	for _, c := range configs {
		p := &pair{FileConfig: c}
		p.seen = p.stamps()
		var err error
		if p.certificate, err = c.read(time.Now()); err != nil {
			return nil, err
		}
		s.pairs = append(s.pairs, p)
	}
	s.publish()
	return s, nil
}

// Certificate implements CertSource.
func (s *fileSource) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	shelf := s.shelf.Load()
	name := canonicalName(hello.ServerName)
	if c := choose(shelf.covering(name), hello); c != nil {
		return c, nil
	}
	if s.anyName || name == "" {
		return choose(shelf.all, hello), nil
	}
	return nil, nil
}

// publish shows the pairs as they are now to handshakes and to those who ask what there is.
func (s *fileSource) publish() {
	loaded := make([]Status, 0, len(s.pairs))
	var all []*tls.Certificate
	for _, p := range s.pairs {
		all = append(all, p.certificate)
		leaf := p.certificate.Leaf
		loaded = append(loaded, Status{Name: firstName(leaf), Source: p.Cert, Issuer: issuerOf(leaf), Until: leaf.NotAfter})
	}
	s.shelf.Store(newShelf(all))
	s.loaded.Store(&loaded)
}

// refresh reads again what has changed. A pair that cannot be used is told of once, and the one in use stays.
func (s *fileSource) refresh(now time.Time, log *slog.Logger) {
	changed := false
	for _, p := range s.pairs {
		stamps := p.stamps()
		if stamps == p.seen {
			continue
		}
		p.seen = stamps
		c, err := p.read(now)
		if err != nil {
			log.Error("a changed certificate is not taken; the old one stays", "error", err, "until", p.certificate.Leaf.NotAfter)
			continue
		}
		log.Info("certificate read again", "cert", p.Cert, "until", c.Leaf.NotAfter)
		p.certificate, changed = c, true
	}
	if changed {
		s.publish()
	}
}

// read loads the pair and checks that it can be used now.
func (c FileConfig) read(now time.Time) (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.Cert, c.Key, withoutPackage(err))
	case now.After(certificate.Leaf.NotAfter):
		return nil, fmt.Errorf("certificate %s has expired: it was good until %s", c.Cert, certificate.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(certificate.Leaf.NotBefore):
		return nil, fmt.Errorf("certificate %s is not good before %s", c.Cert, certificate.Leaf.NotBefore.Format(time.RFC3339))
	}
	return &certificate, nil
}

// stamps looks at both files through symbolic links, by which such files are often swapped.
func (c FileConfig) stamps() (s [2]stamp) {
	for i, name := range []string{c.Cert, c.Key} {
		var info fs.FileInfo
		info, err := os.Stat(name)
		if err != nil {
			continue // a file that is gone is a change; reading it says what is wrong
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s
}

// withoutPackage drops the name of the package that an error of crypto/tls begins with: who reads it knows no packages.
func withoutPackage(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "tls: "); ok {
		return &plainError{text, err}
	}
	return err
}

type plainError struct {
	text  string
	cause error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.cause }
