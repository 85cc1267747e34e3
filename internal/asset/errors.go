package asset

import "github.com/parqueue/parqueue/internal/fault"

// ErrNotFound is the answer for an asset that never existed, that was deleted, or
// that is another tenant's: nothing in it tells them apart.
func ErrNotFound() *fault.Error {
	return fault.New(fault.CodeAssetNotFound, "Asset not found",
		"Check the asset id, and that the API key reaches its owner; list-assets shows the assets that there are.")
}

// ErrVersionNotFound is the answer for a version that an asset does not have.
func ErrVersionNotFound(latest int64) *fault.Error {
	return fault.Newf(fault.CodeAssetNotFound, "list-asset-versions shows those that there are; leave \"version\" out for the latest one.",
		"The asset has no such version: the latest one is %d.", latest).With("latest_version", latest)
}

// ErrAliasTaken is the answer for an alias that another asset of the owner has.
func ErrAliasTaken(alias, assetID string) *fault.Error {
	return fault.New(fault.CodeAliasTaken, "Another asset of this owner has this alias.",
		"Choose another alias, or take it from the other asset with set-asset-metadata.").With("alias", alias).With("alias_asset_id", assetID)
}

// ErrChanged is the answer when an asset is not as If-Match says.
func ErrChanged(a Asset) *fault.Error {
	return fault.New(fault.CodeAssetChanged, "The asset has changed meanwhile.",
		"Nothing was changed. Read it again with get-asset-metadata, and send the change with the ETag that it has now.").With("etag", EntityTag(a))
}

// ErrInDataset is the answer for new content of a file of a dataset.
func ErrInDataset() *fault.Error {
	return fault.New(fault.CodeInvalidRequest, "The asset is a file of a dataset, whose bytes never change.",
		"Upload the new file under another name, or delete this one first.")
}
