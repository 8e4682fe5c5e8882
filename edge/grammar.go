package edge

import (
	"errors"
	"fmt"
	"strings"

	"selvage/cache"
)

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlnum(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// isFieldValue reports whether s can stand in a field line as it is (RFC 9110, section 5.5): no CR, LF, NUL or other
// control but tab, no space at the ends.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == strings.Trim(s, " \t")
}

// isHost reports whether s is what a Host field may hold.
func isHost(s string) bool {
	_, err := cache.CanonicalHost(s, true)
	return err == nil
}

func notInName(c rune) bool {
	return c >= 0x80 || !isAlnum(byte(c)) && c != '-' && c != '.' && c != '_'
}

// checkDomain says what keeps s from being a host name in lower case (RFC 1123, section 2.1; underscores occur).
func checkDomain(s string) error {
	switch {
	case s == "":
		return errors.New("the host name is empty")
	case len(s) > 253:
		return errors.New("the host name is longer than 253 bytes")
	}
	if i := strings.IndexFunc(s, notInName); i >= 0 {
		return fmt.Errorf("host %q has a character that no host name has: %q", s, []rune(s[i:])[0])
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("host %q has the bad label %q", s, label)
		}
	}
	return nil
}
