package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// busyGrace is how long a mount that is asked to end waits for those who still use it: long enough for a job that got
	// the same signal to close its files, and well within the 30 s after which Kubernetes kills.
	busyGrace = 10 * time.Second
	// busyRetry is how often it is tried to unmount in that time.
	busyRetry = 200 * time.Millisecond
)

// server is how a mount is served: in the background or not, with what on stderr, and whom to tell that it answers.
type server struct {
	background bool
	stderr     io.Writer
	live       func()
}

// run builds the stack, mounts, calls live, and returns when the mount is gone: because somebody unmounted it, or by
// a signal.
func (v server) run(ctx context.Context, dir string, o mountOptions) (err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	if dir, err = checkMountpoint(dir); err != nil {
		return err
	}
	if err := o.daemon.absolute(); err != nil {
		return err
	}
	log, closeLog, err := newLog(o.daemon, v.background, v.stderr)
	if err != nil {
		return err
	}
	defer closeLog()

	metrics, err := openExporter(o.daemon)
	if err != nil {
		return err
	}
	defer metrics.close()
	s, err := start(ctx, signals, dir, o, log)
	if err != nil {
		return err
	}
	defer func() {
		metrics.close() // before what it reads
		err = errors.Join(err, s.close())
	}()
	metrics.serve(s.snapshot, o.daemon.pprof, log)
	endpoint, _ := s.client.Using()
	log.Info("mounted", "source", o.source.String(), "dir", dir, "endpoint", endpoint,
		"memory", o.read.memory.String(), "version", versionText())
	if v.background {
		// The directory the command was called from must not stay busy because of this process.
		if err := os.Chdir("/"); err != nil {
			log.Warn("cannot leave the working directory", "error", err)
		}
	}
	v.live()
	err = waitUnmounted(s.mount, dir, signals, log)
	return errors.Join(err, s.flush(signals, time.Duration(o.write.closeTimeout), v.stderr))
}

// start builds the stack and mounts; a signal meanwhile ends it. One that comes when all is done is left for who waits
// next.
func start(ctx context.Context, signals chan os.Signal, dir string, o mountOptions, log *slog.Logger) (*stack, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case sig := <-signals:
			cancel()
			<-done
			select {
			case signals <- sig:
			default: // others are waiting there
			}
		case <-done:
		}
	}()
	defer func() { close(done); <-watched; cancel() }()

	s, err := newStack(ctx, o, log)
	if err != nil {
		return nil, explainStore(err, o.source.bucket, o.store)
	}
	if err := s.attach(ctx, dir, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// mounted is what waitUnmounted needs of a mount.
type mounted interface {
	Wait()          // returns when the mount is gone
	Unmount() error // EBUSY while it is in use
	Abort()         // takes it away whoever uses it
}

// waitUnmounted returns when the mount at dir is gone. The first signal unmounts; while the mount is busy it says who
// holds it and tries again, for busyGrace or until a second signal, and then takes the mount away from its users: their
// reads fail, but no dead mount is left.
func waitUnmounted(m mounted, dir string, signals <-chan os.Signal, log *slog.Logger) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		m.Wait()
	}()
	select {
	case <-gone:
		log.Info("unmounted", "dir", dir)
		return nil
	case sig := <-signals:
		log.Info("unmounting", "dir", dir, "signal", sig.String())
	}
	err := m.Unmount()
	if err == nil {
		<-gone
		log.Info("unmounted", "dir", dir)
		return nil
	}
	holders := "unknown"
	if info, tableErr := mountAt(dir); tableErr == nil && info != nil {
		holders = describeHolders(os.DirFS("/proc"), info)
	}
	log.Warn("cannot unmount yet", "dir", dir, "error", err, "holders", holders, "grace", busyGrace.String())
	if awaitFree(m, gone, signals) {
		log.Info("unmounted", "dir", dir)
		return nil
	}
	m.Abort()
	<-gone
	log.Warn("unmounted while in use", "dir", dir, "holders", holders)
	return fail(exitBusy, err, "%s was in use and has been taken away from: %s", dir, holders)
}

// awaitFree tries to unmount until that succeeds (or somebody else does it), and gives up after busyGrace or at a
// signal.
func awaitFree(m mounted, gone <-chan struct{}, signals <-chan os.Signal) bool {
	grace, retry := time.NewTimer(busyGrace), time.NewTicker(busyRetry)
	defer grace.Stop()
	defer retry.Stop()
	for {
		select {
		case <-gone:
			return true
		case <-retry.C:
			if m.Unmount() == nil {
				<-gone
				return true
			}
		case <-grace.C:
			return false
		case <-signals:
			return false
		}
	}
}
