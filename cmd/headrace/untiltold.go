package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// untilTold gives a context that ends with ctx, or when the command is told to end: by Ctrl-C, by a service manager, or because its terminal is gone. What was started with nohup does without one.
func untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(ctx, signals...)
}
