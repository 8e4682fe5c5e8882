package main

import "fmt"

// validateCarriage reports sites whose origins do not speak HTTP, and streams whose origins speak nothing else.
func (f *File) validateCarriage(report func(path, problem, hint string)) {
	for i, s := range f.Sites {
		at := below(fmt.Sprintf("sites[%d]", i), report)
		f.wantHTTP(s.Origin, "origin", at)
		for j, r := range s.Routes {
			f.wantHTTP(r.Origin, fmt.Sprintf("routes[%d].origin", j), at)
		}
	}
	for i, s := range f.Streams {
		at := below(fmt.Sprintf("streams[%d]", i), report)
		f.wantStreams(s.Origin, "origin", at)
		for j, r := range s.Routes {
			f.wantStreams(r.Origin, fmt.Sprintf("routes[%d].origin", j), at)
		}
	}
}

func (f *File) wantHTTP(origin, path string, report func(path, problem, hint string)) {
	if o, ok := f.Origins[origin]; ok && !o.CarriesHTTP() {
		report(path, fmt.Sprintf("the origin %q is for streams", origin), "an origin whose upstreams are http or https, without proxy_protocol")
	}
}

func (f *File) wantStreams(origin, path string, report func(path, problem, hint string)) {
	if o, ok := f.Origins[origin]; ok && !o.CarriesStreams() {
		report(path, fmt.Sprintf("the origin %q is for sites", origin), "an origin whose upstreams are tcp://host:port or unix:/path")
	}
}
