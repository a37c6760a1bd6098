//! Options that say how a store in a cloud is reached.

use std::path::PathBuf;

use clap::Args;

use super::values;

/// How to reach a store in a cloud. Credentials come from the usual variables or from where the
/// configuration file says, and from nowhere on the command line, where others could see them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options for stores in a cloud")]
pub(crate) struct StoreArguments {
    /// The store's address, if it is not the provider's own, such as `https://minio.example:9000`
    #[arg(long, global = true, display_order = 921, value_name = "URL", env = "NIGHTJAR_ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// The region of the bucket
    #[arg(long, global = true, display_order = 922, value_name = "NAME", env = "NIGHTJAR_REGION")]
    pub(crate) region: Option<String>,
    /// Trust the authorities whose certificates this file holds (PEM), beside the system's
    #[arg(long, global = true, display_order = 923, value_name = "FILE", env = "NIGHTJAR_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Let the endpoint be http://, where everybody on the way sees and can change requests; what
    /// is stored stays encrypted
    #[arg(long, global = true, display_order = 924)]
    pub(crate) allow_http: bool,
    /// Send at most so much per second
    #[arg(long, global = true, display_order = 925, value_name = "SIZE", value_parser = values::size)]
    #[arg(env = "NIGHTJAR_LIMIT_UPLOAD")]
    pub(crate) limit_upload: Option<u64>,
    /// Receive at most so much per second
    #[arg(long, global = true, display_order = 926, value_name = "SIZE", value_parser = values::size)]
    #[arg(env = "NIGHTJAR_LIMIT_DOWNLOAD")]
    pub(crate) limit_download: Option<u64>,
}
