package cache

import (
	"math/bits"
	"strings"

	"selvage/encode"
)

// codingNames are the known codings in the order of their bits, which is the order in which they are sent to the origin.
var codingNames = [...]string{"br", "gzip", "zstd"}

// codingClasses are all that an origin ever sees of Accept-Encoding on a fill, by set.
var codingClasses = [Zstd << 1]string{
	0: "", Brotli: "br", Gzip: "gzip", Brotli | Gzip: "br, gzip",
	Zstd: "zstd", Brotli | Zstd: "br, zstd", Gzip | Zstd: "gzip, zstd", Brotli | Gzip | Zstd: "br, gzip, zstd",
}

// AcceptEncoding returns the field value that goes to the origin on a fill; "" means no field. Clients of one class share a
// variant, because the origin is asked the same on behalf of each of them.
func (s CodingSet) AcceptEncoding() string { return codingClasses[s&(Zstd<<1-1)] }

// codingOffer is what the Accept-Encoding lines read so far say, before it is reduced to a CodingSet: a later line may
// still refuse what "*" seemed to allow. The bit of IdentityRefused stands for identity.
type codingOffer struct {
	listed CodingSet
	weight [5]uint16 // of what is listed, in thousandths; by bit
}

// anyCoding is the bit of "*" in a codingOffer, and identity that of identity.
const (
	identity  = IdentityRefused
	anyCoding = IdentityRefused << 1
)

// add reads one field line (RFC 9110, section 12.5.3). A member with a malformed weight fails alone. Of two that name the
// same coding the lower weight holds: it is never wrong not to encode.
func (o *codingOffer) add(line string) {
	for member, rest := cutMember(line); member != ""; member, rest = cutMember(rest) {
		name, weight, ok := parseOffer(member)
		if coding := codingBit(name); ok && coding != 0 {
			o.note(coding, weight)
		}
	}
}

// parseOffer reads a member of Accept-Encoding: a name and its weight.
func parseOffer(member string) (name string, weight uint16, ok bool) {
	name, params, _ := strings.Cut(member, ";")
	thousandths, ok := fullWeight, true
	for params != "" && ok {
		var param string
		param, params, _ = strings.Cut(params, ";")
		if key, value, _ := strings.Cut(trimOWS(param), "="); sameToken(trimOWS(key), "q") {
			thousandths, ok = parseWeight(value)
		}
	}
	return trimOWS(name), uint16(thousandths), ok
}

// deltaWeight is the weight of dcz, as codingOffer has those of others. It is asked for so rarely that it is no part of the
// offer, and has to be named: a client that lists "*" may not know that there are dictionaries.
func (q *Query) deltaWeight() (weight uint16) {
	named := false
	for i := 0; ; i++ {
		line, more := q.field("Accept-Encoding", i)
		if !more {
			return weight
		}
		for member, rest := cutMember(line); member != ""; member, rest = cutMember(rest) {
			name, w, ok := parseOffer(member)
			if ok && sameToken(name, "dcz") && (!named || w < weight) {
				named, weight = true, w
			}
		}
	}
}

func (o *codingOffer) note(coding CodingSet, weight uint16) {
	if i := bits.TrailingZeros8(uint8(coding)); o.listed&coding == 0 || weight < o.weight[i] {
		o.listed |= coding
		o.weight[i] = weight
	}
}

// of returns the weight of a coding: what is listed has its own, the rest that of "*", and without one none.
func (o *codingOffer) of(coding CodingSet) uint16 {
	if o.listed&coding == 0 {
		coding = anyCoding
	}
	return o.weight[bits.TrailingZeros8(uint8(coding))]
}

// set reduces the offer. Identity is acceptable unless it, or in its absence "*", has the weight 0.
func (o *codingOffer) set() (s CodingSet) {
	for i := range codingNames {
		if coding := CodingSet(1) << i; o.of(coding) > 0 {
			s |= coding
		}
	}
	if o.listed&(identity|anyCoding) != 0 && o.of(identity) == 0 {
		s |= IdentityRefused
	}
	return s
}

// Prefer returns the coding among those of order that the client likes best; where it likes several the same, the first of
// them. Identity comes last where the client does not say otherwise, and where it likes nothing at all: RFC 9110, section
// 12.5.3 would have a 406 at most, and most clients that say so can read plain text.
func (q *Query) Prefer(order []encode.Coding) encode.Coding {
	best, most := encode.Identity, uint16(0)
	if q.offer.listed&identity != 0 {
		most = q.offer.of(identity)
	}
	for _, coding := range order {
		w := q.offer.of(bitOf(coding))
		if w > most || w == most && w > 0 && best == encode.Identity {
			best, most = coding, w
		}
	}
	return best
}

// Accepts reports whether the client takes a coding.
func (q *Query) Accepts(coding encode.Coding) bool {
	if coding == encode.Identity {
		return q.Coding&IdentityRefused == 0
	}
	return q.Coding&bitOf(coding) != 0
}

// bitOf returns the bit of a coding; 0 for one that needs a dictionary.
func bitOf(coding encode.Coding) CodingSet {
	switch coding {
	case encode.Identity:
		return identity
	case encode.Brotli:
		return Brotli
	case encode.Gzip:
		return Gzip
	case encode.Zstd:
		return Zstd
	}
	return 0
}

// codingBit returns the bit of a coding in a codingOffer, 0 for an unknown one. Names are case-insensitive, and x-gzip is
// gzip (RFC 9110, sections 8.4.1 and 8.4.1.3).
func codingBit(name string) CodingSet {
	for i, known := range codingNames {
		if sameToken(name, known) {
			return 1 << i
		}
	}
	switch {
	case sameToken(name, "x-gzip"):
		return Gzip
	case sameToken(name, "identity"):
		return identity
	case name == "*":
		return anyCoding
	}
	return 0
}
