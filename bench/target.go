package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
	"github.com/headrace/headrace/s3server"
)

const ownBucket = "bench"

// target is the store that is measured, and the objects that are read.
type target struct {
	endpoint string // as for --endpoint: the shaper's when there is one
	bucket   string
	prefix   string // what is mounted
	env      []string
	shape    shape

	server  *s3server.Server // nil for a given store
	far     *farStore        // nil when unshaped
	clients []*s3store.Client
	direct  objstore.Bucket // the store itself
	raw     objstore.Bucket // what the raw client reads from: the shaper when there is one
	maker   *maker          // nil when objects were given

	objects objects
	check   checker
	disk    localDisk
}

// openTarget starts what has to be started and reaches the bucket. The caller closes the target.
func openTarget(ctx context.Context, opts Options, dir string) (t *target, err error) {
	t = &target{endpoint: opts.Endpoint, bucket: opts.Bucket, prefix: "", shape: shape{opts.FirstByte, opts.Rate}, check: noCheck}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close(ctx))
			t = nil
		}
	}()
	config := opts.config()
	if t.bucket == "" {
		if err := t.startServer(ctx, filepath.Join(dir, "server"), &config); err != nil {
			return t, err
		}
	}
	if t.direct, err = t.reach(ctx, config); err != nil {
		return t, err
	}
	t.raw = t.direct
	if len(opts.Keys) == 0 {
		t.prefix = opts.Prefix + "headrace-bench-" + rand.Text()[:8] + "/"
		t.maker = newMaker(t.direct, t.prefix)
		t.check = t.maker.checker()
	}
	if t.shape.none() {
		return t, nil
	}
	u, err := url.Parse(config.Endpoint)
	if err != nil || u.Scheme != "http" {
		return t, fmt.Errorf("%w: only a store at a plain HTTP endpoint can be shaped", ErrOptions)
	}
	if t.far, err = startFarStore(opts.Binary, u.Host, t.shape); err != nil {
		return t, err
	}
	t.endpoint = t.far.endpoint
	config.Endpoint = t.endpoint
	t.raw, err = t.reach(ctx, config)
	return t, err
}

// config is the raw client's.
func (o Options) config() s3store.Config {
	config := s3store.Config{
		Endpoint: o.Endpoint, Region: o.Region, Profile: o.Profile,
		NoSignRequest: o.NoSignRequest, RequesterPays: o.RequesterPays, MaxConns: o.conns, UserAgent: "headrace-bench",
	}
	if o.PathStyle {
		config.PathStyle = &o.PathStyle
	}
	return config
}

// startServer starts a server over dir with an empty bucket, and makes config and the mounts reach it.
func (t *target) startServer(ctx context.Context, dir string, config *s3store.Config) (err error) {
	if t.server, err = s3server.Start(ctx, s3server.Options{Dir: dir}); err != nil {
		return err
	}
	*config = s3store.Config{
		Endpoint: t.server.Endpoint(), Region: t.server.Region(),
		AccessKey: t.server.AccessKey(), SecretKey: t.server.SecretKey(), MaxConns: config.MaxConns, UserAgent: "headrace-bench",
	}
	t.endpoint, t.bucket = config.Endpoint, ownBucket
	t.env = []string{
		"AWS_ACCESS_KEY_ID=" + config.AccessKey, "AWS_SECRET_ACCESS_KEY=" + config.SecretKey, "AWS_REGION=" + config.Region,
		"AWS_SESSION_TOKEN=", "AWS_PROFILE=",
	}
	client, err := t.client(ctx, *config)
	if err != nil {
		return err
	}
	return client.CreateBucket(ctx, ownBucket)
}

// client makes a client that close will close.
func (t *target) client(ctx context.Context, config s3store.Config) (*s3store.Client, error) {
	c, err := s3store.New(ctx, config)
	if err == nil {
		t.clients = append(t.clients, c)
	}
	return c, err
}

// reach opens the bucket by a client of its own.
func (t *target) reach(ctx context.Context, config s3store.Config) (objstore.Bucket, error) {
	c, err := t.client(ctx, config)
	if err != nil {
		return nil, err
	}
	return c.Bucket(ctx, t.bucket)
}

// prepare makes or finds what the chosen workloads read.
func (t *target) prepare(ctx context.Context, opts Options, chosen []workload) (err error) {
	if t.maker == nil {
		t.objects, err = find(ctx, t.raw, opts.Keys)
		return err
	}
	t.objects, err = t.maker.make(ctx, opts.Size, opts.SmallFiles, func(kinds ...kind) bool {
		return slices.ContainsFunc(chosen, func(w workload) bool { return slices.Contains(kinds, w.kind) })
	})
	// The shaped store and the direct one are one store, but not by name.
	t.objects.adopt(t.raw.Endpoint())
	return err
}

// adopt makes all versions those of endpoint.
func (o *objects) adopt(endpoint string) {
	o.large.version.Endpoint = endpoint
	for _, list := range [][]object{o.streams, o.small, o.dataset} {
		for i := range list {
			list[i].version.Endpoint = endpoint
		}
	}
}

// mountArgs are what a mount needs to reach the store.
func (t *target) mountArgs(opts Options) []string {
	args := []string{fmt.Sprintf("s3://%s/%s", t.bucket, t.prefix)}
	for flag, value := range map[string]string{"--endpoint": t.endpoint, "--region": opts.Region, "--profile": opts.Profile} {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}
	for flag, on := range map[string]bool{"--path-style": opts.PathStyle, "--no-sign-request": opts.NoSignRequest, "--requester-pays": opts.RequesterPays} {
		if on {
			args = append(args, flag)
		}
	}
	return args
}

// close removes the objects, unless they go with the server, and takes down what was started; also when ctx has ended,
// and then sooner.
func (t *target) close(ctx context.Context) (err error) {
	deadline := cleanDeadline
	if ctx.Err() != nil {
		deadline = hurriedDeadline
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if t.maker != nil && t.server == nil {
		err = t.maker.remove(ctx)
	}
	for _, c := range t.clients {
		c.Close()
	}
	if t.far != nil {
		err = errors.Join(err, t.far.end())
	}
	if t.server != nil {
		t.server.Stop()
	}
	return err
}
