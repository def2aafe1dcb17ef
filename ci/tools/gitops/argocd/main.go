// Command argocd is the part of Argo CD that syncs: its application controller and its repository server, and beside them the
// Redis that Argo CD's own command line makes do with. Upstream's binary has its API server and all else too, which would have to be
// compiled.
//
//	argocd argocd-application-controller | argocd-repo-server [FLAG]...
//	argocd redis ADDRESS
package main

import (
	"os"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
)

func main() {
	command := &cobra.Command{Use: "argocd"}
	command.AddCommand(controller.NewCommand(), reposerver.NewCommand(), &cobra.Command{
		Use:  "redis",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if err := miniredis.NewMiniRedis().StartAddr(arguments[0]); err != nil {
				return err
			}
			select {}
		},
	})
	if command.Execute() != nil {
		os.Exit(1)
	}
}
