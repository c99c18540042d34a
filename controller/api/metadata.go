package api

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	labelChars      = 63
	prefixChars     = 253
	annotationChars = 5000
	metadataMembers = 500
)

var (
	labelGrammar  = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z_.-]*[0-9A-Za-z])?$`)
	prefixGrammar = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?)+$`)
)

// patchMetadata merges md into the record, after checking all of it: a value sets, null deletes (CAPI v3, metadata).
func patchMetadata(m *store.Meta, md *capi.MetadataPatch) error {
	if md == nil {
		return nil
	}
	if err := validateMetadata(md); err != nil {
		return err
	}
	m.Labels = merge(m.Labels, md.Labels)
	m.Annotations = merge(m.Annotations, md.Annotations)
	if len(m.Labels) > metadataMembers || len(m.Annotations) > metadataMembers {
		return errInvalid(fmt.Sprintf("Metadata may have %d labels and %d annotations at most", metadataMembers, metadataMembers))
	}
	return nil
}

func validateMetadata(md *capi.MetadataPatch) error {
	for _, k := range slices.Sorted(maps.Keys(md.Labels)) {
		if err := validateLabelKey(k); err != nil {
			return errInvalid("Metadata label key error: " + err.Error())
		}
		if v := md.Labels[k]; v != nil {
			if err := validateLabelValue(*v); err != nil {
				return errInvalid("Metadata label value error: " + err.Error())
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(md.Annotations)) {
		if err := validateLabelKey(k); err != nil {
			return errInvalid("Metadata annotation key error: " + err.Error())
		}
		if v := md.Annotations[k]; v != nil && utf8.RuneCountInString(*v) > annotationChars {
			return errInvalid(fmt.Sprintf("Metadata annotation value error: '%s' is longer than %d characters", clip(k, labelChars), annotationChars))
		}
	}
	return nil
}

func merge(into map[string]string, change map[string]*string) map[string]string {
	for k, v := range change {
		if v == nil {
			delete(into, k)
			continue
		}
		if into == nil {
			into = map[string]string{}
		}
		into[k] = *v
	}
	return into
}

func validateLabelKey(key string) error {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	switch {
	case prefixed && (len(prefix) > prefixChars || !prefixGrammar.MatchString(prefix)):
		return fmt.Errorf("prefix of '%s' must be a DNS name of %d characters at most", clip(key, 100), prefixChars)
	case strings.EqualFold(prefix, "cloudfoundry.org"):
		return fmt.Errorf("prefix of '%s' is reserved: choose another than cloudfoundry.org", clip(key, 100))
	case name == "":
		return fmt.Errorf("key cannot be empty string")
	case len(name) > labelChars:
		return fmt.Errorf("'%s' is greater than %d characters", clip(name, 100), labelChars)
	case !labelGrammar.MatchString(name):
		return fmt.Errorf("'%s' must begin and end with a letter or digit and have only letters, digits, '-', '_' and '.'", clip(name, 100))
	}
	return nil
}

func validateLabelValue(v string) error {
	switch {
	case v == "":
		return nil
	case len(v) > labelChars:
		return fmt.Errorf("'%s' is greater than %d characters", clip(v, 100), labelChars)
	case !labelGrammar.MatchString(v):
		return fmt.Errorf("'%s' must begin and end with a letter or digit and have only letters, digits, '-', '_' and '.'", clip(v, 100))
	}
	return nil
}
