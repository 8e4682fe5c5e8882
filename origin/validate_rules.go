package origin

import (
	"fmt"
	"strings"
)

func (c Config) validateRules(report func(path, problem, hint string)) {
	for _, row := range []struct{ path, prefix string }{{"path.strip", c.Path.Strip}, {"path.add", c.Path.Add}} {
		if row.prefix != "" && !isPlainPath(row.prefix) {
			report(row.path, "not a path of plain segments", row.path+": /segment")
		}
	}
	for i, name := range c.Hide {
		if !isToken(name) {
			report(fmt.Sprintf("hide[%d]", i), "no field name", "letters, digits and hyphens")
		}
	}
	c.Sign.validate(under("sign", report))
}

func (s SignConfig) validate(report func(path, problem, hint string)) {
	const hint = "region: eu-central-1, access_key: env:S3_ACCESS, secret_key: env:S3_SECRET"
	half := s.Region == "" || s.AccessKey == "" || s.SecretKey == ""
	for _, row := range []struct{ path, where string }{
		{"access_key", s.AccessKey}, {"secret_key", s.SecretKey}, {"session_token", s.SessionToken},
	} {
		_, err := readSecret(row.where, 1)
		switch {
		case err != nil:
			report(row.path, err.Error(), "env:NAME or file:/path")
		case half && row.where != "":
			report(row.path, "goes with region and both keys", hint)
			half = false
		}
	}
	if half && s.Region != "" {
		report("region", "goes with both keys", hint)
	}
}

// isPlainPath reports whether s is an absolute path that is written in one way only: of unreserved characters, without empty
// and dot segments.
func isPlainPath(s string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(s, "/"), "/")
	if !ok || escape(rest, "/") != rest {
		return false
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
