package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsNeverReachTheLog(t *testing.T) {
	presigned, err := url.Parse("http://h/b/k?X-Amz-Credential=AKIAKEY%2F2026&X-Amz-Signature=5ec2e7&X-Amz-Security-Token=5ec2e7token&x=1")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := slog.New(newHandler(&out, format, "debug"))
		log.Error("failed", "error", errors.New("Get "+presigned.String()+": refused"), "url", presigned, "text", presigned.String(),
			"secret_key", "5ec2e7", "Authorization", "AWS4 5ec2e7", slog.Group("request", "sessionToken", "5ec2e7"))
		line := out.String()
		for _, secret := range []string{"5ec2e7", "AKIAKEY"} {
			if strings.Contains(line, secret) {
				t.Errorf("%s: %q is in %s", format, secret, line)
			}
		}
		if !strings.Contains(line, "refused") || !strings.Contains(line, "x=1") || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: more was hidden than secrets, or it is not one line: %s", format, line)
		}
	}
}

func TestLogLevelsAndFormats(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		var out bytes.Buffer
		log := slog.New(newHandler(&out, "text", level))
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%s: %d lines, want %d", level, got, want)
		}
	}
}

func TestLogFileIsAppendedToAndPrivate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	for range 2 {
		o := daemonOptions{logFile: name, logLevel: oneOf("info"), logFormat: oneOf("json")}
		log, closeLog, err := newLog(o, true, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("line")
		closeLog()
	}
	content, err := os.ReadFile(name)
	if err != nil || strings.Count(string(content), "\n") != 2 {
		t.Errorf("%q, %v", content, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
