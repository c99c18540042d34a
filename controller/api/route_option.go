package api

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

const (
	hashHeaderBytes  = 128
	hashBalanceBytes = 16
)

// mergeOptions merges requested route options; null deletes. What only hash balancing needs goes with it.
func mergeOptions(have map[string]string, change map[string]any) (map[string]string, error) {
	out := map[string]*string{}
	for name, v := range change {
		switch v := v.(type) {
		case nil:
			out[name] = nil
		case string:
			out[name] = &v
		case fmt.Stringer: // a number
			text := v.String()
			out[name] = &text
		default:
			return nil, errInvalid("Options must be strings")
		}
	}
	if mode, ok := out["loadbalancing"]; ok && (mode == nil || *mode != "hash") {
		for _, name := range []string{"hash_header", "hash_balance"} {
			if _, asked := out[name]; !asked {
				out[name] = nil
			}
		}
	}
	return merge(have, out), nil
}

// checkOptions refuses options that the router does not know.
func (c *Ctx) checkOptions(tx *store.Tx, options map[string]string) (map[string]string, error) {
	hash := options["loadbalancing"] == "hash"
	for _, name := range sortedKeys(options) {
		v := options[name]
		switch {
		case name == "loadbalancing" && !hash && v != "round-robin" && v != "least-connection":
			return nil, errInvalid(fmt.Sprintf("Options Loadbalancing must be one of 'round-robin, least-connection, hash' if present, not '%s'", clip(v, 50)))
		case name == "loadbalancing":
		case name != "hash_header" && name != "hash_balance":
			return nil, errInvalid(fmt.Sprintf("Unknown field(s): 'options.%s'; valid options are: 'loadbalancing, hash_header, hash_balance'", clip(name, 50)))
		case !hash:
			return nil, errInvalid(fmt.Sprintf("Options %s can only be set when loadbalancing is hash", optionWords[name]))
		}
	}
	if !hash {
		return options, nil
	}
	if err := c.needFlag(tx, "hash_based_routing", flagDefault("hash_based_routing")); err != nil {
		return nil, err
	}
	return options, checkHash(options)
}

var optionWords = map[string]string{"hash_header": "Hash header", "hash_balance": "Hash balance"}

func checkHash(options map[string]string) error {
	header := options["hash_header"]
	switch {
	case header == "":
		return errInvalid("Options Hash header must be present when loadbalancing is set to hash.")
	case len(header) > hashHeaderBytes:
		return errInvalid(fmt.Sprintf("Options Hash header must be at most %d characters", hashHeaderBytes))
	case strings.ContainsFunc(header, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }):
		return errInvalid("Options Hash header must be the name of a header: letters, digits and '-'")
	}
	text, given := options["hash_balance"]
	if !given {
		return nil
	}
	balance, err := strconv.ParseFloat(text, 64)
	switch {
	case len(text) > hashBalanceBytes:
		return errInvalid(fmt.Sprintf("Options Hash balance must be at most %d characters", hashBalanceBytes))
	case err != nil:
		return errInvalid("Options Hash balance must be a numeric value")
	case balance != 0 && !(balance >= 1.1 && balance <= 10):
		return errInvalid("Options Hash balance must be either 0 or between 1.1 and 10.0")
	}
	return nil
}
