//! The nodes of content lists and directories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::manifest::{DirectoryNode, ListNode};
use nightjar_fuzz::{check, check_record};

fuzz_target!(|bytes: &[u8]| {
    check_record::<ListNode>(bytes);
    check(bytes, DirectoryNode::decode, DirectoryNode::encode);
});
