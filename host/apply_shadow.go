package host

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/catalog"
)

// applyShadow does the work of an apply that changes nothing: the newest version
// of each tariff, as the files have it, becomes the candidate of a shadow, if it
// prices otherwise than the newest in force. Its effective_from does not matter: it
// is tried on the usage of the open periods.
func (h *Host) applyShadow(r *resolver, current, next *catalog.Catalog, result Applied) (Applied, error) {
	if err := r.keep(); err != nil {
		return Applied{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(next.Tariffs)) {
		old, tariff := current.Tariffs[name], next.Tariffs[name]
		if old == tariff {
			continue
		}
		if old == nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("tariff %s is new: nothing is in force that it could be compared with", name))
			continue
		}
		was, is := old.Versions[len(old.Versions)-1], tariff.Versions[len(tariff.Versions)-1]
		if was.Module == is.Module && was.Name == is.Name && bytes.Equal(was.Params, is.Params) {
			continue
		}
		_, err := h.StartShadow(r.ctx, ShadowRequest{Tariff: name, Plugin: is.Name + "@" + is.Module, Params: string(is.Params), By: r.request.By})
		if err != nil {
			return Applied{}, err
		}
		result.Shadows = append(result.Shadows, name)
	}
	return result, nil
}
