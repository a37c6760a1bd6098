//! The program dies, the power fails, the disk fills up: what was reported is whole, what was not
//! does no harm, and the next run succeeds.

mod full_disk;
mod kill;
mod power_cut;
mod removed_disk;
