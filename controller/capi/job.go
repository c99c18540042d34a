package capi

// States of a Job.
const (
	JobProcessing = "PROCESSING"
	JobPolling    = "POLLING"
	JobComplete   = "COMPLETE"
	JobFailed     = "FAILED"
)

// Job is a long operation. A FAILED job has at least one error.
type Job struct {
	Resource
	Operation string            `json:"operation"`
	State     string            `json:"state"`
	Errors    Array[*Error]     `json:"errors"`
	Warnings  Array[JobWarning] `json:"warnings"`
	Links     Links             `json:"links"`
}

// JobWarning is something a person should know though the job got on.
type JobWarning struct {
	Detail string `json:"detail"`
}
