package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// logLine is one line of the daemon's log.
type logLine struct {
	level  slog.Level
	text   string         // the whole line
	fields map[string]any // what it consists of
}

// readLog reads a log in JSON. A line that is none is an error: something else wrote into the log.
func readLog(path string) ([]logLine, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []logLine
	for raw := range bytes.Lines(b) {
		line := logLine{text: strings.TrimSpace(string(raw))}
		if err := json.Unmarshal(raw, &line.fields); err != nil {
			return lines, fmt.Errorf("%w: %s", err, raw)
		}
		level, _ := line.fields[slog.LevelKey].(string)
		if err := line.level.UnmarshalText([]byte(level)); err != nil {
			return lines, fmt.Errorf("%w: %s", err, raw)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// checkLog fails the test on lines that are worse than what the test provokes.
func (m *mount) checkLog() {
	lines, err := readLog(m.logPath)
	if err != nil {
		m.t.Errorf("the log: %v", err)
	}
	for _, line := range lines {
		if strings.Contains(line.text, secretKey) || strings.Contains(line.text, "Signature=") {
			m.t.Errorf("the daemon logged a secret: %s", line.text)
		}
		if line.level >= slog.LevelWarn && line.level > m.provoked {
			m.t.Errorf("the daemon logged: %s", line.text)
		}
	}
	if m.inspect != nil {
		m.inspect(lines)
	}
}

// rawLog is the log as it is now, for messages of failed tests.
func (m *mount) rawLog() string {
	b, err := os.ReadFile(m.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
