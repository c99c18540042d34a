package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// namesLife is how long names are remembered for the tab key: a person who completes several words waits once.
const namesLife = 30 * time.Second

// nameList is a file of remembered names.
type nameList struct {
	At    time.Time `json:"at"`
	Names []string  `json:"names"`
}

// remembered are the names of a kind, of the file for this user and target where it is young enough, else those
// that ask gives. Where that fails, older ones are better than none.
func (s *session) remembered(k kind, ask func() ([]string, error)) []string {
	file := s.nameFile(k)
	var old nameList
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &old) // a damaged file is an empty one
	}
	if age := time.Since(old.At); age >= 0 && age < namesLife {
		return old.Names
	}
	names, err := ask()
	if err != nil {
		return old.Names
	}
	s.remember(file, nameList{time.Now(), names})
	return names
}

// forgetNames is for commands that make, rename and delete.
func (k *console) forgetNames() {
	if dir := k.file.Dir(); dir != "" {
		_ = os.RemoveAll(filepath.Join(dir, "names")) // names that are too old are no harm
	}
}

// nameFile is bound to API, user and target, so that no other's names are ever shown.
func (s *session) nameFile(k kind) string {
	text, err := json.Marshal([]string{s.cfg.API, s.cfg.User, s.cfg.Org.GUID, s.cfg.Space.GUID, k.path})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return filepath.Join(s.file.Dir(), "names", hex.EncodeToString(sum[:12])+".json")
}

// remember writes the file; without it the next tab asks again.
func (s *session) remember(file string, list nameList) {
	data, err := json.Marshal(list)
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	part, err := os.CreateTemp(filepath.Dir(file), ".names-*") // mode 0600
	if err != nil {
		return
	}
	_, err = part.Write(data)
	if closed := part.Close(); err != nil || closed != nil || os.Rename(part.Name(), file) != nil {
		_ = os.Remove(part.Name())
	}
}
