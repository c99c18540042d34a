package cli

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// quotaFlags are the limits; for a new quota each has a default.
func quotaFlags(create bool) []cli.Flag {
	none := func(what, standard string) string {
		if create {
			return what + "; -1 for no limit (default: " + standard + ")"
		}
		return what + "; -1 for no limit"
	}
	flags := []cli.Flag{
		&cli.StringFlag{Name: "m", Usage: none("`MEMORY` that all processes may have together, such as 4G", "nothing")},
		&cli.StringFlag{Name: "i", Usage: none("`MEMORY` that one process may have", "-1")},
		&cli.StringFlag{Name: "r", Usage: none("`NUMBER` of routes", "0")},
		&cli.StringFlag{Name: "s", Usage: none("`NUMBER` of service instances", "0")},
		&cli.StringFlag{Name: "a", Usage: none("`NUMBER` of app instances", "-1")},
		&cli.StringFlag{Name: "reserved-route-ports", Usage: none("`NUMBER` of routes with a port", "0")},
		&cli.StringFlag{Name: "l", Usage: none("`BYTES` of log a second of all processes together, such as 16K", "-1")},
		&cli.BoolFlag{Name: "allow-paid-service-plans", Usage: "allow service plans that cost"},
	}
	if create {
		return flags
	}
	return append(flags, &cli.BoolFlag{Name: "disallow-paid-service-plans", Usage: "forbid service plans that cost"},
		&cli.StringFlag{Name: "n", Usage: "new `NAME`"})
}

// quotaOf reads the flags. A new quota has the defaults of its flags, an old one keeps what is not said.
func quotaOf(c *cli.Context, create bool) (capi.QuotaUpdate, error) {
	if c.Bool("allow-paid-service-plans") && c.Bool("disallow-paid-service-plans") {
		return capi.QuotaUpdate{}, badUsage("--allow-paid-service-plans and --disallow-paid-service-plans exclude each other")
	}
	q := quotaReader{c: c, create: create}
	in := capi.QuotaUpdate{
		Apps: &capi.QuotaAppsUpdate{
			TotalMemoryInMB: q.limit("m", "0M", megabyteLimit), PerProcessMemoryInMB: q.limit("i", "-1", megabyteLimit),
			TotalInstances: q.limit("a", "-1", countLimit), LogRateLimit: q.limit("l", "-1", byteLimit),
		},
		Services: &capi.QuotaServicesUpdate{TotalServiceInstances: q.limit("s", "0", countLimit)},
		Routes:   &capi.QuotaRoutesUpdate{TotalRoutes: q.limit("r", "0", countLimit), TotalReservedPorts: q.limit("reserved-route-ports", "0", countLimit)},
	}
	if allow := c.Bool("allow-paid-service-plans"); allow || create || c.Bool("disallow-paid-service-plans") {
		in.Services.PaidServicesAllowed = &allow
	}
	if name := c.String("n"); !create && name != "" {
		in.Name = capi.Some(name)
	}
	return in, q.err
}

// quotaReader reads limits and keeps the first mistake.
type quotaReader struct {
	c      *cli.Context
	create bool
	err    error
}

// limit is the value of a flag; -1 is null, which means no limit.
func (q *quotaReader) limit(flag, standard string, parse func(string) (int, error)) capi.Optional[capi.Int] {
	value := q.c.String(flag)
	if value == "" && q.create {
		value = standard
	}
	switch value {
	case "":
		return capi.Optional[capi.Int]{}
	case "-1":
		return capi.Null[capi.Int]()
	}
	n, err := parse(value)
	if err != nil && q.err == nil {
		q.err = badUsage("%s %s", dashed(flag), err)
	}
	return capi.Some(capi.Int(n))
}

// dashed is a flag as it is typed.
func dashed(flag string) string {
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

func megabyteLimit(value string) (int, error) {
	n, err := parseSize(value)
	return int(n >> 20), err
}

func byteLimit(value string) (int, error) {
	n, err := parseSize(value)
	return int(n), err
}

func countLimit(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, badUsage("must be a number, or -1 for no limit, not %q", value)
	}
	return n, nil
}
