package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// listFlags is the walk through a list.
type listFlags struct {
	limit  int32
	cursor string
	all    bool
	asJSON bool
}

func (l *listFlags) add(cmd *cobra.Command) {
	cmd.Flags().Int32Var(&l.limit, "limit", 0, "rows of a page, 1 to 100 (20)")
	cmd.Flags().StringVar(&l.cursor, "cursor", "", "next_cursor of the page before")
	cmd.Flags().BoolVar(&l.all, "all", false, "every page")
	jsonFlag(cmd, &l.asJSON)
}

// walk prints one page, or all.
func walk[V any](ctx context.Context, a *app, l *listFlags, name string, head []string, row func(V) []string,
	fetch func(ctx context.Context, limit int32, cursor string) ([]V, string, error),
) error {
	items, next := []V{}, l.cursor
	for {
		page, after, err := fetch(ctx, l.limit, next)
		if err != nil {
			return err
		}
		items, next = append(items, page...), after
		if !l.all || next == "" {
			break
		}
	}
	if l.asJSON {
		return a.printJSON(map[string]any{name: items, "next_cursor": next})
	}
	rows := [][]string{head}
	for _, item := range items {
		rows = append(rows, row(item))
	}
	if err := a.printTable(rows); err != nil {
		return err
	}
	if next != "" {
		a.say("more: --cursor %s (or --all)", clean(next))
	}
	return nil
}
