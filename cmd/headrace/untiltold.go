package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hurry is how long after the first signal another one ends the command as if it had no handler: somebody does not want
// to wait for it to clean up. Until then they are taken for one, as timeout(1) sends two.
const hurry = time.Second

// untilTold gives a context that ends with ctx, or when the command is told to end: by Ctrl-C, by a service manager, or
// because its terminal is gone. What was started with nohup does without one.
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, signals...)
	ended := context.AfterFunc(ctx, func() {
		time.AfterFunc(hurry, func() { signal.Reset(syscall.SIGINT, syscall.SIGTERM) })
	})
	return ctx, func() {
		ended()
		stop()
	}
}
