package origin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"
)

// directory is an upstream that is a folder of this machine: an http.RoundTripper that answers with its files. Nothing outside
// of the folder is reached, by whatever path or symbolic link: os.Root sees to that, and closes itself when nobody has it any
// more, so that requests that began before a reload find their files. There are no listings.
type directory struct{ root *os.Root }

func openDirectory(folder string) (*directory, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	return &directory{root}, nil
}

// RoundTrip answers GET and HEAD.
func (d *directory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	a := newFileAnswer(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		a.header.Set("Allow", "GET, HEAD")
		return a.say(http.StatusMethodNotAllowed), nil
	}
	name, ok := fileName(r.URL)
	if !ok {
		return a.say(http.StatusNotFound), nil
	}
	f, info, err := d.open(name)
	switch {
	case err == errIsFolder:
		return a.sayWhere(r.URL, name), nil
	case isAny(err, errNotFile, fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP):
		return a.say(http.StatusNotFound), nil
	case err != nil && strings.HasSuffix(err.Error(), "path escapes from parent"): // os.Root has no error of its own for it
		return a.say(http.StatusNotFound), nil
	case err != nil:
		return nil, fail(typeUnavailable, err)
	}
	return a.give(f, info), nil
}

// fileName is the name of the file that a URL asks for: its path, and the index of what ends like a folder. Names that begin
// with a dot are not served, but for .well-known (RFC 8615); nor are paths that two readers might take for different files.
func fileName(u *url.URL) (name string, ok bool) {
	rest, ok := strings.CutPrefix(u.Path, "/")
	if raw := strings.ToLower(u.RawPath); !ok || strings.Contains(raw, "%2f") || strings.ContainsAny(u.Path, "\x00\\") {
		return "", false
	}
	if rest == "" || strings.HasSuffix(rest, "/") {
		rest += "index.html"
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "" || segment[0] == '.' && segment != ".well-known" {
			return "", false
		}
	}
	return rest, true
}

// What has a name and is no file.
var (
	errIsFolder = errors.New("a folder")
	errNotFile  = errors.New("not a regular file") // a device, a pipe
)

// open opens a regular file. A pipe that nobody writes to must not hold up anybody: hence O_NONBLOCK.
func (d *directory) open(name string) (*os.File, fs.FileInfo, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = errIsFolder
	case !info.Mode().IsRegular():
		err = errNotFile
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// fileAnswer makes a response of what http.ServeContent, which knows ranges, preconditions and types, would write.
type fileAnswer struct {
	request *http.Request
	header  http.Header
	status  int
	body    io.Reader
	length  int64
}

func newFileAnswer(r *http.Request) *fileAnswer {
	return &fileAnswer{request: r, header: http.Header{}, status: http.StatusOK}
}

func (a *fileAnswer) Header() http.Header    { return a.header }
func (a *fileAnswer) WriteHeader(status int) { a.status = status }

// Write takes the text of an error.
func (a *fileAnswer) Write(p []byte) (int, error) {
	a.body, a.length = strings.NewReader(string(p)), int64(len(p))
	return len(p), nil
}

// ReadFrom takes the body without reading it: it is read as the client takes it.
func (a *fileAnswer) ReadFrom(from io.Reader) (int64, error) {
	limited, ok := from.(*io.LimitedReader)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	a.body, a.length = limited, limited.N
	return limited.N, nil
}

// say answers with a status alone.
func (a *fileAnswer) say(status int) *http.Response {
	text := fmt.Sprintf("%d %s\n", status, http.StatusText(status))
	a.header.Set("Content-Type", "text/plain; charset=utf-8")
	a.status, a.length = status, int64(len(text))
	if a.request.Method != http.MethodHead {
		a.body = strings.NewReader(text)
	}
	return a.response(nil)
}

// sayWhere answers for what is there and no file: a folder has its files behind a slash.
func (a *fileAnswer) sayWhere(u *url.URL, name string) *http.Response {
	if strings.HasSuffix(name, "/index.html") || name == "index.html" { // a folder of that name, or the slash is there
		return a.say(http.StatusNotFound)
	}
	to := url.URL{Path: u.Path + "/", RawQuery: u.RawQuery}
	a.header.Set("Location", to.String())
	return a.say(http.StatusMovedPermanently)
}

// give answers with a file, as far as the request wants it.
func (a *fileAnswer) give(f *os.File, info fs.FileInfo) *http.Response {
	a.header.Set("Etag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	r := a.request
	if strings.Contains(r.Header.Get("Range"), ",") { // a pipe's goroutine is not worth it: the whole is an answer too
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(a, r, path.Base(info.Name()), info.ModTime(), f)
	return a.response(f)
}

func (a *fileAnswer) response(f *os.File) *http.Response {
	if a.status == http.StatusNotModified {
		a.length = 0
	} else if a.request.Method == http.MethodHead && f != nil {
		_, _ = fmt.Sscan(a.header.Get("Content-Length"), &a.length)
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, ContentLength: a.length, Body: &fileBody{from: a.body, file: f, left: a.bodyLength()},
		Request: a.request,
	}
}

func (a *fileAnswer) bodyLength() int64 {
	if a.body == nil {
		return 0
	}
	return a.length
}

// fileBody is as long as was said, or ends in an error: a file may be cut short while it is read.
type fileBody struct {
	from io.Reader
	file *os.File // nil where there is none
	left int64
}

func (b *fileBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *fileBody) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}
