package api

import "net/http"

// The endpoints are functions and not the members of a list, so that the Lambda
// function that serves one of them links that one and nothing of the others.

// TryAuthentication tells a caller that its key is valid.
func TryAuthentication() Endpoint {
	return Endpoint{"try-authentication", "", []string{http.MethodGet}, (*API).tryAuthentication}
}

// GetQuotas tells a caller what it may use.
func GetQuotas() Endpoint {
	return Endpoint{"get-quotas", "", []string{http.MethodGet}, (*API).getQuotas}
}

// CreateDataset adds an empty dataset.
func CreateDataset() Endpoint {
	return Endpoint{"create-dataset", "create-stage", []string{http.MethodGet, http.MethodPost}, (*API).createDataset}
}

// ListDatasets lists a tenant's datasets.
func ListDatasets() Endpoint {
	return Endpoint{"list-datasets", "list-stages", []string{http.MethodPost}, (*API).listDatasets}
}

// GetDataset tells what a dataset is now.
func GetDataset() Endpoint {
	return Endpoint{"get-dataset", "", []string{http.MethodPost}, (*API).getDataset}
}

// UpdateDataset changes a dataset's name and metadata.
func UpdateDataset() Endpoint {
	return Endpoint{"update-dataset", "", []string{http.MethodPost}, (*API).updateDataset}
}

// DeleteDataset deletes a dataset, whose files are removed after that.
func DeleteDataset() Endpoint {
	return Endpoint{"delete-dataset", "", []string{http.MethodPost}, (*API).deleteDataset}
}

// UploadToDataset stores a Parquet file and appends it to a dataset.
func UploadToDataset() Endpoint {
	return Endpoint{"upload-to-dataset", "upload-to-stage", []string{http.MethodPost}, (*API).uploadToDataset}
}

// ListDatasetFiles lists the files of a dataset in order.
func ListDatasetFiles() Endpoint {
	return Endpoint{"list-dataset-files", "list-stage-files", []string{http.MethodPost}, (*API).listDatasetFiles}
}

// DownloadFromDataset hands out a file, or a URL of it.
func DownloadFromDataset() Endpoint {
	return Endpoint{"download-from-dataset", "download-from-stage", []string{http.MethodPost}, (*API).downloadFromDataset}
}

// DeleteDatasetFile takes a file out of a dataset.
func DeleteDatasetFile() Endpoint {
	return Endpoint{"delete-dataset-file", "", []string{http.MethodPost}, (*API).deleteDatasetFile}
}

// VerifyDataset compares a dataset with its objects.
func VerifyDataset() Endpoint {
	return Endpoint{"verify-dataset", "", []string{http.MethodPost}, (*API).verifyDataset}
}

// CreateUpload begins a large file and hands out where its parts go.
func CreateUpload() Endpoint {
	return Endpoint{"create-upload", "", []string{http.MethodPost}, (*API).createUpload}
}

// GetUpload tells how far a large file has come and where its parts go.
func GetUpload() Endpoint {
	return Endpoint{"get-upload", "", []string{http.MethodPost}, (*API).getUpload}
}

// CompleteUpload makes the parts of a large file one object, checks it and appends it.
func CompleteUpload() Endpoint {
	return Endpoint{"complete-upload", "", []string{http.MethodPost}, (*API).completeUpload}
}

// AbortUpload gives a large file up and removes its bytes.
func AbortUpload() Endpoint {
	return Endpoint{"abort-upload", "", []string{http.MethodPost}, (*API).abortUpload}
}

// ListUploads lists large files on their way into datasets.
func ListUploads() Endpoint {
	return Endpoint{"list-uploads", "", []string{http.MethodPost}, (*API).listUploads}
}

// AppendFiles appends finished uploads in the order given.
func AppendFiles() Endpoint {
	return Endpoint{"append-files", "", []string{http.MethodPost}, (*API).appendFiles}
}

// CreateAsset begins an asset and hands out where its parts go.
func CreateAsset() Endpoint {
	return Endpoint{"create-asset", "", []string{http.MethodPost}, (*API).createAsset}
}

// CreateAssetVersion begins new content for an asset.
func CreateAssetVersion() Endpoint {
	return Endpoint{"create-asset-version", "", []string{http.MethodPost}, (*API).createAssetVersion}
}

// DownloadAsset hands out the content of an asset, or a URL of it.
func DownloadAsset() Endpoint {
	return Endpoint{"download-asset", "", []string{http.MethodPost}, (*API).downloadAsset}
}

// GetAssetMetadata tells what there is to know of an asset.
func GetAssetMetadata() Endpoint {
	return Endpoint{"get-asset-metadata", "", []string{http.MethodPost}, (*API).getAssetMetadata}
}

// SetAssetMetadata changes what is said of an asset.
func SetAssetMetadata() Endpoint {
	return Endpoint{"set-asset-metadata", "", []string{http.MethodPost}, (*API).setAssetMetadata}
}

// ListAssets lists assets by their owner, a tag or an alias.
func ListAssets() Endpoint {
	return Endpoint{"list-assets", "", []string{http.MethodPost}, (*API).listAssets}
}

// ListAssetVersions lists the versions of an asset's content.
func ListAssetVersions() Endpoint {
	return Endpoint{"list-asset-versions", "", []string{http.MethodPost}, (*API).listAssetVersions}
}

// DeleteAsset deletes an asset with all its versions.
func DeleteAsset() Endpoint {
	return Endpoint{"delete-asset", "", []string{http.MethodPost}, (*API).deleteAsset}
}

// ListRejections lists what the inbox could not take.
func ListRejections() Endpoint {
	return Endpoint{"list-rejections", "", []string{http.MethodPost}, (*API).listRejections}
}

// RetryRejection moves a refused object back into the inbox.
func RetryRejection() Endpoint {
	return Endpoint{"retry-rejection", "", []string{http.MethodPost}, (*API).retryRejection}
}

// DeleteRejection removes a refused object of the inbox for good.
func DeleteRejection() Endpoint {
	return Endpoint{"delete-rejection", "", []string{http.MethodPost}, (*API).deleteRejection}
}
