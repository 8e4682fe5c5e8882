package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"selvage/cache"
)

// stoppedDisk is the disk tier of a node that does not run.
type stoppedDisk struct{ *cache.Disk }

func openStoppedDisk(ctx context.Context, path string, log *slog.Logger) (diskTier, error) {
	d, err := cache.OpenDisk(ctx, path, log)
	if errors.Is(err, cache.ErrDiskInUse) {
		return nil, fmt.Errorf("%w; leave out --path to ask the running node", err)
	}
	if err != nil {
		return nil, err
	}
	return stoppedDisk{d}, nil
}

func (d stoppedDisk) Stat(context.Context) (cache.DiskStat, error) { return d.Disk.Stat(), nil }

// runningDisk is the disk tier of a running node, behind its admin socket.
type runningDisk struct{ client *http.Client }

func newRunningDisk(socket string) runningDisk { return runningDisk{adminClient(socket)} }

func (d runningDisk) Close() error { return nil }

// ask sends a request to an admin endpoint. Every answer but 200 is an error.
func (d runningDisk) ask(ctx context.Context, method, target string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, adminURL+target, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := d.client.Do(r)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("reach the running node: %w; --path is for one that is stopped", err)
	case response.StatusCode != http.StatusOK:
		defer response.Body.Close()
		return nil, fmt.Errorf("the node answered %s: %w", response.Status, readProblem(response))
	}
	return response, nil
}

// each asks for lines of JSON and calls f with every one, until it returns false.
func each[T any](ctx context.Context, d runningDisk, method, target string, f func(T) bool) error {
	response, err := d.ask(ctx, method, target)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for in := json.NewDecoder(response.Body); ; {
		var line T
		switch err := in.Decode(&line); {
		case err == io.EOF:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read the node's answer: %w", err)
		case !f(line):
			return nil
		}
	}
}

// one asks for one value.
func one[T any](ctx context.Context, d runningDisk, method, target string) (v T, err error) {
	err = each(ctx, d, method, target, func(line T) bool {
		v = line
		return false
	})
	return v, err
}

func (d runningDisk) List(ctx context.Context, yield func(cache.StoredResponse) bool) error {
	return each(ctx, d, "GET", "/v1/cache", yield)
}

func (d runningDisk) Stat(ctx context.Context) (cache.DiskStat, error) {
	return one[cache.DiskStat](ctx, d, "GET", "/v1/cache/stat")
}

func (d runningDisk) Scrub(ctx context.Context, progress func(done, total int64)) (cache.Scrubbed, error) {
	var last scrubLine
	err := each(ctx, d, "POST", "/v1/cache/scrub", func(line scrubLine) bool {
		last = line
		if line.Total > 0 {
			progress(line.Done, line.Total)
		}
		return true
	})
	switch {
	case err != nil:
		return cache.Scrubbed{}, err
	case last.Error != "":
		return cache.Scrubbed{}, errors.New(last.Error)
	case last.Report == nil:
		return cache.Scrubbed{}, errors.New("the node's answer ends without a report")
	}
	return *last.Report, nil
}

func (d runningDisk) Remove(ctx context.Context, purgeURL string) (int, error) {
	r, err := one[removal](ctx, d, "DELETE", "/v1/cache?url="+url.QueryEscape(purgeURL))
	return r.Removed, err
}
