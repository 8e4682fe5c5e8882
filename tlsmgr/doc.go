// Package tlsmgr owns certificates: it reads, makes and keeps them, and chooses one for every handshake. It gives a
// *tls.Config; it does not listen, and it knows nothing of HTTP.
//
// The nouns:
//
//   - CertSource: where a certificate comes from. Files, the node's own CA, or one made at start.
//   - policy: how a site shakes hands on a listener: its source, whether clients show certificates, its ticket keys.
//   - view: the policies of one listener, by server name. Immutable; a reload makes new ones.
//   - secrets: the random values that ticket keys are derived from. They live in memory only.
//   - Storage: what must outlive the process and may be shared by several: keys, and certificates made here.
//
// A name is looked up as the edge looks up a Host: the site that names it, else the one with the longest wildcard around
// it, else the default site. A site without a certificate of its own has its listener's; where there is neither, the
// handshake ends with the alert unrecognized_name.
//
// Session tickets resume only under the policy that issued them, because every policy derives keys of its own: a ticket
// from a site that asks for no client certificate is no ticket at one that does.
package tlsmgr
