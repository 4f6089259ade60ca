package main

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"regexp"
	"strings"
)

// newLog makes the process's logger. What goes through it has passed redact; close ends the file it writes to, if any.
// A background process without a --log-file writes to the system log, and to nothing where there is none.
func newLog(o daemonOptions, background bool, stderr io.Writer) (log *slog.Logger, closeLog func(), err error) {
	out, closeLog := stderr, func() {}
	switch {
	case o.logFile != "":
		f, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fail(exitFailure, err, "cannot write the log: %v", err)
		}
		out, closeLog = f, func() { f.Close() }
	case background:
		out = io.Discard
		if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "headrace"); err == nil {
			out, closeLog = w, func() { w.Close() }
		}
	}
	return slog.New(newHandler(out, o.logFormat.value, o.logLevel.value)), closeLog, nil
}

func newHandler(out io.Writer, format, level string) slog.Handler {
	options := &slog.HandlerOptions{
		Level:       map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[level],
		ReplaceAttr: redact,
	}
	if format == "json" {
		return slog.NewJSONHandler(out, options)
	}
	return slog.NewTextHandler(out, options)
}

// redact is the last line of defence: no package logs credentials, and if one ever passed a URL or a header that has
// them, they would not be in the log.
func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, word := range []string{"secret", "password", "token", "authorization", "credential", "signature"} {
		if strings.Contains(name, word) {
			return slog.String(a.Key, "hidden")
		}
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, redactText(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, redactText(err.Error()))
		}
		if s, ok := a.Value.Any().(fmt.Stringer); ok {
			return slog.String(a.Key, redactText(s.String()))
		}
	}
	return a
}

// redactText hides the parameters of a presigned URL that grant access.
func redactText(text string) string {
	if !strings.Contains(text, "X-Amz-") {
		return text
	}
	granting := regexp.MustCompile(`(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"]+`)
	return granting.ReplaceAllString(text, "${1}hidden")
}
