package cache

import "strings"

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
// still refuse what "*" seemed to allow. In both sets the bit of IdentityRefused stands for identity.
type codingOffer struct {
	listed, refused CodingSet
}

// anyCoding is the bit of "*" in a codingOffer.
const anyCoding = IdentityRefused << 1

// add reads one field line (RFC 9110, section 12.5.3). A member with a malformed weight fails alone. Of two that name the
// same coding a refusal wins: it is never wrong not to encode.
func (o *codingOffer) add(line string) {
	for member, rest := cutMember(line); member != ""; member, rest = cutMember(rest) {
		name, params, _ := strings.Cut(member, ";")
		coding, weight, ok := codingBit(trimOWS(name)), fullWeight, true
		for params != "" && ok {
			var param string
			param, params, _ = strings.Cut(params, ";")
			if key, value, _ := strings.Cut(trimOWS(param), "="); sameToken(key, "q") {
				weight, ok = parseWeight(value)
			}
		}
		if !ok {
			continue
		}
		o.listed |= coding
		if weight == 0 {
			o.refused |= coding
		}
	}
}

// set reduces the offer: what is listed goes by its own weight, the rest by that of "*", and identity is acceptable unless
// one of the two refuses it.
func (o codingOffer) set() (s CodingSet) {
	star := o.listed & anyCoding
	for i := range codingNames {
		coding := CodingSet(1) << i
		switch {
		case o.listed&coding != 0 && o.refused&coding == 0:
			s |= coding
		case o.listed&coding == 0 && star != 0 && o.refused&anyCoding == 0:
			s |= coding
		}
	}
	if o.refused&IdentityRefused != 0 || o.listed&IdentityRefused == 0 && o.refused&anyCoding != 0 {
		s |= IdentityRefused
	}
	return s
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
		return IdentityRefused
	case name == "*":
		return anyCoding
	}
	return 0
}
