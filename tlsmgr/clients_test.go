package tlsmgr

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// TestClients: a site may ask for client certificates, and lets in whom it says.
func TestClients(t *testing.T) {
	ca, stranger, folder := newTestCA(t), newTestCA(t), t.TempDir()
	write(t, folder+"/clients.pem", encodeCertificate(ca.root))
	site := func(name string, optional bool) Site {
		s := internalSite(name)
		s.Clients = ClientsConfig{CA: folder + "/clients.pem", Optional: optional}
		return s
	}
	m := newManager(t, options(Listener{}, site("strict.test", false), site("mild.test", true), internalSite("open.test")))
	shown := map[string]*testCA{"none": nil, "ours": ca, "a stranger's": stranger}
	for _, tt := range []struct {
		site, shows  string
		ok, verified bool
	}{
		{"strict.test", "none", false, false},
		{"strict.test", "ours", true, true},
		{"strict.test", "a stranger's", false, false},
		{"mild.test", "none", true, false},
		{"mild.test", "ours", true, true},
		{"mild.test", "a stranger's", false, false},
		{"open.test", "ours", true, false},
	} {
		client := anyone(tt.site)
		if ca := shown[tt.shows]; ca != nil {
			pair, err := tls.X509KeyPair(ca.issue(t, order{subject: "client"}))
			if err != nil {
				t.Fatal(err)
			}
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		got := shake(t, m, client)
		if ok := got.clientErr == nil && got.serverErr == nil; ok != tt.ok || (len(got.server.VerifiedChains) > 0) != tt.verified {
			t.Errorf("%s, certificate %s: %v, %v, %d chains; want success %v, verified %v",
				tt.site, tt.shows, got.clientErr, got.serverErr, len(got.server.VerifiedChains), tt.ok, tt.verified)
		}
	}
}

// TestMisdirected: THREATS T26. A connection is good for the site that its handshake was for.
func TestMisdirected(t *testing.T) {
	ca, folder := newTestCA(t), t.TempDir()
	write(t, folder+"/clients.pem", encodeCertificate(ca.root))
	shared := []FileConfig{ca.files(t, folder, "shared", order{names: []string{"*.shared.test"}})}
	own := []FileConfig{ca.files(t, folder, "own", order{names: []string{"own.test"}})}
	site := func(host string, files []FileConfig, clients ClientsConfig) Site {
		return Site{Name: host, Hosts: []string{host}, SiteConfig: SiteConfig{Certificates: files, Clients: clients}}
	}
	required := ClientsConfig{CA: folder + "/clients.pem"}
	m := newManager(t, options(Listener{SelfSigned: true},
		Site{Name: "two", Hosts: []string{"one.test", "two.test"}},
		site("a.shared.test", shared, ClientsConfig{}), site("b.shared.test", shared, ClientsConfig{}),
		site("own.test", own, ClientsConfig{}), site("plain.test", nil, ClientsConfig{}),
		site("strict.shared.test", shared, required),
		site("mild.shared.test", shared, ClientsConfig{CA: required.CA, Optional: true}),
	))
	verified := [][]*x509.Certificate{{ca.root}}
	tlsTo := func(name string, chains [][]*x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{ServerName: name, VerifiedChains: chains}
	}
	for _, tt := range []struct {
		what    string
		c       *tls.ConnectionState
		host    string
		trusted bool
		want    bool
	}{
		{"the name itself", tlsTo("own.test", nil), "own.test", false, false},
		{"in other letters", tlsTo("OWN.test", nil), "own.test", false, false},
		{"another name of the same site", tlsTo("one.test", nil), "two.test", false, false},
		{"another site with the same files", tlsTo("a.shared.test", nil), "b.shared.test", false, true},
		{"another site with other files", tlsTo("a.shared.test", nil), "own.test", false, true},
		{"two sites with the listener's certificate", tlsTo("one.test", nil), "plain.test", false, true},
		{"two names of no site", tlsTo("stranger.test", nil), "nobody.test", false, false}, // whose answer is a 421 anyway
		{"the listener's certificate for a site with its own", tlsTo("plain.test", nil), "own.test", false, true},
		{"no site's name for a site with its own", tlsTo("stranger.test", nil), "own.test", false, true},
		{"no name", tlsTo("", nil), "own.test", false, false},
		{"no name for a site that knows its clients", tlsTo("", nil), "strict.shared.test", false, true},
		{"a site that knows its clients", tlsTo("strict.shared.test", verified), "strict.shared.test", false, false},
		{"the same, and the connection is older than that", tlsTo("strict.shared.test", nil), "strict.shared.test", false, true},
		{"from a site that asks nothing to one that knows", tlsTo("a.shared.test", nil), "strict.shared.test", false, true},
		{"and back", tlsTo("strict.shared.test", verified), "a.shared.test", false, true},
		{"from one that may know to one that does", tlsTo("mild.shared.test", verified), "strict.shared.test", false, true},
		{"http", nil, "own.test", false, false},
		{"http to a site that knows its clients", nil, "strict.shared.test", false, true},
		{"a trusted proxy brings what it likes", tlsTo("a.shared.test", nil), "own.test", true, false},
		{"but no client without certificate", tlsTo("a.shared.test", nil), "strict.shared.test", true, true},
	} {
		if got := m.Misdirected(tt.c, tt.host, tt.trusted); got != tt.want {
			t.Errorf("%s: misdirected = %v, want %v", tt.what, got, tt.want)
		}
	}
}
