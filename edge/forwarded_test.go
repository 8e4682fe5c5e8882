package edge

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var testTrust = compileTrust([]string{"10.0.0.0/8", "2001:db8::/32"})

// THREATS T40.
func TestClient(t *testing.T) {
	const proxy, stranger = "10.0.0.1:4711", "192.0.2.1:4711"
	type header = http.Header
	for _, tt := range []struct {
		name              string
		peer              string
		header            header
		addr, proto, host string
	}{
		{"a stranger without fields", stranger, nil, "192.0.2.1", "http", "example.com"},
		{"a stranger is not believed", stranger, header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil"}, "Forwarded": {"for=6.6.6.6;proto=https;host=evil"}},
			"192.0.2.1", "http", "example.com"},
		{"a proxy without fields is the client", proxy, nil, "10.0.0.1", "http", "example.com"},
		{"a proxy is believed", proxy, header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"shop.test:81"}},
			"203.0.113.7", "https", "shop.test:81"},
		{"from the right over trusted addresses", proxy, header{"X-Forwarded-For": {"6.6.6.6, 203.0.113.7", "10.1.1.1, 2001:db8::9"}},
			"203.0.113.7", "http", "example.com"},
		{"all of them trusted", proxy, header{"X-Forwarded-For": {"10.3.3.3, 10.2.2.2"}}, "10.3.3.3", "http", "example.com"},
		{"up to what is no address", proxy, header{"X-Forwarded-For": {"203.0.113.7, junk, 10.2.2.2"}}, "10.2.2.2", "http", "example.com"},
		{"junk next to us", proxy, header{"X-Forwarded-For": {"203.0.113.7, unknown"}}, "10.0.0.1", "http", "example.com"},
		{"with ports", proxy, header{"X-Forwarded-For": {"203.0.113.7:99, [2001:db8::9]:80"}}, "203.0.113.7", "http", "example.com"},
		{"IPv4 in IPv6 form", "[::ffff:10.0.0.1]:1", header{"X-Forwarded-For": {"::ffff:203.0.113.7"}}, "203.0.113.7", "http", "example.com"},
		{"a zone is dropped", proxy, header{"X-Forwarded-For": {"fe80::1%<b>"}}, "fe80::1", "http", "example.com"},
		{"the last scheme and host", proxy, header{"X-Forwarded-Proto": {"http", "http, https"}, "X-Forwarded-Host": {"evil, shop.test"}},
			"10.0.0.1", "https", "shop.test"},
		{"no scheme, no host", proxy, header{"X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Host": {"a b"}}, "10.0.0.1", "http", "example.com"},
		{"Forwarded", proxy, header{"Forwarded": {`for=203.0.113.7;proto=https;host="shop.test:81"`}}, "203.0.113.7", "https", "shop.test:81"},
		{"Forwarded over several hops", proxy, header{"Forwarded": {`for=6.6.6.6;host=evil`, `For="[2001:DB9::7]:1";Proto=https;Host=shop.test, for=10.9.9.9;proto=http;host=inner.test`}},
			"2001:db9::7", "https", "shop.test"},
		{"Forwarded, hidden", proxy, header{"Forwarded": {`for=_secret;proto=https`}}, "10.0.0.1", "https", "example.com"},
		{"Forwarded, malformed", proxy, header{"Forwarded": {`for=203.0.113.7;proto=https, for="`}}, "10.0.0.1", "http", "example.com"},
		{"Forwarded with a parameter twice", proxy, header{"Forwarded": {`for=203.0.113.7;for=203.0.113.8`}}, "10.0.0.1", "http", "example.com"},
		{"Forwarded handed through beside X-Forwarded-For", proxy, header{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=6.6.6.6;proto=https;host=evil"}},
			"203.0.113.7", "http", "example.com"},
		{"Forwarded handed through beside X-Forwarded-Proto", proxy, header{"X-Forwarded-Proto": {"http"}, "Forwarded": {"for=6.6.6.6;proto=https"}},
			"10.0.0.1", "http", "example.com"},
		{"a unix socket that is not listed", "@", header{"X-Forwarded-For": {"6.6.6.6"}}, "invalid IP", "http", "example.com"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Host: "example.com", Header: tt.header}
		c := testTrust.client(r)
		if c.Addr.String() != tt.addr || c.Proto != tt.proto || c.Host != tt.host {
			t.Errorf("%s: client = %v %s %s, want %s %s %s", tt.name, c.Addr, c.Proto, c.Host, tt.addr, tt.proto, tt.host)
		}
	}
}

func TestClientOverTLS(t *testing.T) {
	r := &http.Request{RemoteAddr: "192.0.2.1:1", TLS: &tls.ConnectionState{}}
	if c := testTrust.client(r); c.Proto != "https" || c.Trusted {
		t.Errorf("client = %+v, want https and not trusted", c)
	}
}

func TestTrustedUnixSocket(t *testing.T) {
	tr := compileTrust([]string{"unix"})
	r := &http.Request{RemoteAddr: "@", Header: http.Header{"X-Forwarded-For": {"203.0.113.7"}}}
	if c := tr.client(r); c.Addr != addr("203.0.113.7") || !c.Trusted {
		t.Errorf("client = %+v, want 203.0.113.7 from a trusted peer", c)
	}
	r.RemoteAddr = "10.0.0.1:1"
	if c := tr.client(r); c.Trusted {
		t.Errorf("client = %+v, want a peer with an address not trusted", c)
	}
}

func TestAnnounce(t *testing.T) {
	v4, v6, proxy := addr("192.0.2.1"), addr("2001:db8::1"), addr("10.0.0.1")
	for _, tt := range []struct {
		name      string
		in        http.Header
		client    clientInfo
		chain     string
		forwarded string
	}{
		{"IPv4", nil, clientInfo{Addr: v4, Peer: v4, Proto: "http", Host: "example.com"},
			"192.0.2.1", "for=192.0.2.1;host=example.com;proto=http"},
		{"IPv6 in brackets and quotes", nil, clientInfo{Addr: v6, Peer: v6, Proto: "https", Host: "[::1]:80"},
			"2001:db8::1", `for="[2001:db8::1]";host="[::1]:80";proto=https`},
		{"a stranger's chain is overwritten", http.Header{"X-Forwarded-For": {"6.6.6.6"}}, clientInfo{Addr: v4, Peer: v4, Proto: "http", Host: "h"},
			"192.0.2.1", "for=192.0.2.1;host=h;proto=http"},
		{"a proxy's is continued", http.Header{"X-Forwarded-For": {"203.0.113.7", "10.2.2.2"}}, clientInfo{Addr: v4, Peer: proxy, Trusted: true, Proto: "http", Host: "h"},
			"203.0.113.7, 10.2.2.2, 10.0.0.1", "for=192.0.2.1;host=h;proto=http"},
		{"a proxy that wrote Forwarded", nil, clientInfo{Addr: v4, Peer: proxy, Trusted: true, Proto: "http", Host: "h"},
			"192.0.2.1, 10.0.0.1", "for=192.0.2.1;host=h;proto=http"},
		{"a unix socket", http.Header{"X-Forwarded-For": {"6.6.6.6"}}, clientInfo{Proto: "http"},
			"", "for=unknown;host=unknown;proto=http"},
		{"a trusted unix socket", http.Header{"X-Forwarded-For": {"203.0.113.7"}}, clientInfo{Addr: addr("203.0.113.7"), Trusted: true, Proto: "http", Host: "h"},
			"203.0.113.7", "for=203.0.113.7;host=h;proto=http"},
		{"a host with a quote", nil, clientInfo{Addr: v4, Peer: v4, Proto: "http", Host: `a"b\`},
			"192.0.2.1", `for=192.0.2.1;host="a\"b\\";proto=http`},
	} {
		out := outboundHeader(tt.in, tt.client, "HTTP/1.1", testID)
		if got := strings.Join(out["X-Forwarded-For"], "|"); got != tt.chain {
			t.Errorf("%s: X-Forwarded-For: %s, want %s", tt.name, got, tt.chain)
		}
		if got := out.Get("Forwarded"); got != tt.forwarded {
			t.Errorf("%s: Forwarded: %s, want %s", tt.name, got, tt.forwarded)
		}
	}
}

// FuzzForwarded: whatever a trusted peer sends, the client is an address that somebody named, without zone or mapping; the
// scheme is one of two; and what we write is read back as what we meant.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{`for=192.0.2.43, for="[2001:db8:cafe::17]:4711"`, `for=_gazonk`, `for=unknown;by=203.0.113.43;proto=http;host="a\"b"`,
		`for=1.2.3.4;;`, `="`, `for="\`, `for=a,,;,`, `host="a,b;c";for="1.2.3.4"`} {
		f.Add(s, "203.0.113.7, 10.2.2.2")
		f.Add("", s)
	}
	f.Fuzz(func(t *testing.T, forwarded, chain string) {
		h := http.Header{"Forwarded": {forwarded}}
		if chain != "" {
			h["X-Forwarded-For"] = []string{chain}
		}
		c := testTrust.client(&http.Request{RemoteAddr: "10.0.0.1:1", Host: "example.com", Header: h})
		if !c.Addr.IsValid() || c.Addr.Is4In6() || c.Addr.Zone() != "" {
			t.Fatalf("client address = %v", c.Addr)
		}
		if c.Proto != "http" && c.Proto != "https" || !isHost(c.Host) {
			t.Fatalf("scheme = %q, host = %q", c.Proto, c.Host)
		}
		hops, ok := parseForwarded([]string{c.forwarded()})
		if !ok || len(hops) != 1 || hops[0].host != c.Host || hops[0].proto != c.Proto {
			t.Fatalf("%s is read back as %+v, %v", c.forwarded(), hops, ok)
		}
		if node, ok := parseNode(hops[0].node); !ok || node != c.Addr {
			t.Fatalf("%s is read back with the node %v, want %v", c.forwarded(), node, c.Addr)
		}
	})
}

func TestParseNode(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "192.0.2.1:_port": "192.0.2.1", "2001:db8::1": "2001:db8::1",
		"[2001:db8::1]": "2001:db8::1", "[2001:db8::1]:80": "2001:db8::1",
		"[2001:db8::1": "", "[2001:db8::1]80": "", "unknown": "", "_x": "", "": "", "192.0.2.256": "", "192.0.2.1, 192.0.2.2": "",
	} {
		got := ""
		if a, ok := parseNode(in); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("parseNode(%q) = %q, want %q", in, got, want)
		}
	}
	if a, _ := parseNode("junk"); a != (netip.Addr{}) {
		t.Errorf("parseNode(junk) = %v, want no address", a)
	}
}
