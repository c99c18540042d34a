package nomad

import "fmt"

// Policy is the least that the token of this engine needs, as the rules of an ACL policy: to make and follow jobs in one
// namespace, to look after nodes, and to ask the agent who it is.
func Policy(namespace string) string {
	return fmt.Sprintf(`namespace %q {
  capabilities = ["submit-job", "read-job", "list-jobs"]
}
node {
  policy = "write"
}
agent {
  policy = "read"
}
`, namespace)
}
