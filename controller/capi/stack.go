package capi

// Stack is a pair of base images.
type Stack struct {
	Resource
	Name             string   `json:"name"`
	Description      *string  `json:"description"`
	State            string   `json:"state"`
	StateReason      *string  `json:"state_reason"`
	Default          bool     `json:"default"`
	BuildRootfsImage string   `json:"build_rootfs_image"`
	RunRootfsImage   string   `json:"run_rootfs_image"`
	Metadata         Metadata `json:"metadata"`
	Links            Links    `json:"links"`
}

// StackUpdate is the body of POST /v3/stacks and of PATCH /v3/stacks/:guid.
type StackUpdate struct {
	Name        *string          `json:"name,omitempty"`
	Description *string          `json:"description,omitempty"`
	State       *string          `json:"state,omitempty"`
	StateReason Optional[string] `json:"state_reason,omitzero"`
	Metadata    *MetadataPatch   `json:"metadata,omitempty"`
}
