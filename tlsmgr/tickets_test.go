package tlsmgr

import (
	"context"
	"crypto/tls"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func keepingTickets(name string) *tls.Config {
	c := anyone(name)
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return c
}

// TestTicketAges: THREATS T28. A ticket resumes under its key and the two after it.
func TestTicketAges(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for rotations, want := range []bool{true, true, true, false, false} {
			m := newManager(t, options(Listener{SelfSigned: true}))
			client := keepingTickets("localhost")
			client.MaxVersion = version
			shake(t, m, client)
			for range rotations {
				m.secrets.rotate()
				m.renewTicketKeys()
			}
			if got := shake(t, m, client); got.server.DidResume != want || got.clientErr != nil {
				t.Errorf("%x, after %d rotations: resumed %v (%v), want %v", version, rotations, got.server.DidResume, got.clientErr, want)
			}
		}
	}
}

// TestRotation: Run rotates by the clock, and ends with its context.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, options(Listener{SelfSigned: true}))
		stop := running(t, m)
		before := m.secrets.keys("")
		time.Sleep(DefaultConfig().Tickets.Rotate + time.Second)
		after := m.secrets.keys("")
		if len(after) != 2 || after[1] != before[0] || after[0] == before[0] {
			t.Error("after a rotation: want a new key in front of the old one")
		}
		time.Sleep(10 * DefaultConfig().Tickets.Rotate)
		if got := m.secrets.keys(""); len(got) != keptSecrets || slices.Contains(got, before[0]) {
			t.Errorf("after eleven rotations: %d keys, want %d, and the first forgotten", len(got), keptSecrets)
		}
		stop()
	})
}

// TestTicketsStayAtTheirPolicy: a ticket is worth nothing at another site, and nothing at its own after the rules about
// client certificates have changed. A reload that changes neither costs nobody a handshake.
func TestTicketsStayAtTheirPolicy(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	both := []FileConfig{ca.files(t, folder, "both", order{subject: "both", names: []string{"a.example", "b.example"}})}
	write(t, folder+"/clients.pem", encodeCertificate(ca.root))
	site := func(name string, clients ClientsConfig) Site {
		return Site{Name: name, Hosts: []string{name + ".example"}, SiteConfig: SiteConfig{Certificates: both, Clients: clients}}
	}
	for _, tt := range []struct {
		what   string
		name   string      // to return under
		change func() Site // of site a
		want   bool
	}{
		{"the same site", "a.example", func() Site { return site("a", ClientsConfig{}) }, true},
		{"another site", "b.example", func() Site { return site("a", ClientsConfig{}) }, false},
		{"a site that asks for client certificates now", "a.example", func() Site {
			return site("a", ClientsConfig{CA: folder + "/clients.pem", Optional: true})
		}, false},
	} {
		o := options(Listener{}, site("a", ClientsConfig{}), site("b", ClientsConfig{}))
		m := newManager(t, o)
		client := keepingTickets("a.example")
		shake(t, m, client)
		commit, err := m.Prepare(o.Config, o.Listeners, []Site{tt.change(), o.Sites[1]})
		if err != nil {
			t.Fatal(err)
		}
		commit()
		returning := client.Clone()
		returning.ServerName = tt.name
		returning.ClientSessionCache = under{client.ClientSessionCache, "a.example"}
		if got := shake(t, m, returning); got.server.DidResume != tt.want || got.clientErr != nil {
			t.Errorf("%s: resumed %v (%v), want %v", tt.what, got.server.DidResume, got.clientErr, tt.want)
		}
	}
}

// under is a session cache of a client that shows its ticket everywhere.
type under struct {
	tls.ClientSessionCache
	name string
}

func (u under) Get(string) (*tls.ClientSessionState, bool) { return u.ClientSessionCache.Get(u.name) }

// running runs m; stop ends it and waits.
func running(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}
