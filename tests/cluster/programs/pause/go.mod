// The process that holds a pod's namespaces.
module zeroloop/tests/cluster/pause

go 1.26.3
