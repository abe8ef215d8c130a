"""Every entry of the page has a test that proves the remedy, and what can be provoked here reads as the page says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'troubleshooting.md'
LOSSES = 'tests/segmentation/models/losses'
# Beginning of a row's first cell -> tests of the remedy.
EVIDENCE: dict[str, str] = {
    "`ModuleNotFoundError: No module named 'pkg": 'tests/common/doctor/test_checks.py::test_every_command_names',
    "`ModuleNotFoundError: No module named 'mmcv": 'tests/common/doctor/test_checks.py::test_mmcv_without_operators',
    '`MMCV==2.2.0 is used': 'tests/common/doctor/test_checks.py::test_version_ranges',
    '`ImportError: libGL': 'tests/common/doctor/test_checks.py::test_two_packages_own_cv2',
    '`RuntimeError: operator torchvision': 'tests/common/doctor/test_checks.py::test_pair_whose_operators_do_not_load',
    'a download of weights': 'tests/segmentation/converters/test_mit.py::',
    '`mmsegmentation is not installed': 'tests/test_packaging.py::test_wheel_from_sdist_ships_every_recipe_and_tool',
    "`KeyError: 'X is not": 'tests/bad_inputs/test_configs.py::test_unbuildable',
    '`Failed to import custom': 'tests/bad_inputs/test_configs.py::test_unreadable',
    'an option of `--cfg-options`': 'tests/bad_inputs/test_configs.py::test_options',
    '`CUDA error: device-side': 'tests/inspection/test_quick_check.py::test_the_error_names_the_three_worst_files',
    'mIoU near 0': 'tests/inspection/test_mask_encodings.py::test_findings_about_encodings',
    'a class is shifted': 'tests/bad_inputs/test_masks.py::test_data_set',
    'scores too good': 'tests/inspection/test_leaks.py::test_planted_copies_are_found_alone',
    'objects are missing': 'tests/detection/test_voc0712_split_dataset.py::test_no_box_is_ignored_for_its_size',
    'a test set without': 'tests/tools/test_predict.py::test_a_folder',
    '`IndexError: index 255': f'{LOSSES}/test_class_balanced_loss.py::test_equals_torch',
    'the loss falls': f'{LOSSES}/test_class_balanced_loss.py::test_scale_stays_when_three_quarters_are_ignored',
    '`OhemCrossEntropy.forward()': f'{LOSSES}/test_ohem_balanced_loss.py::test_kept_share_in_the_log_of_a_runner',
    '`AssertionError: reduction': f'{LOSSES}/test_lovasz_softmax_loss.py::test_beside_a_cross_entropy_in_a_decode_head',
    'a loss is logged': 'tests/common/preflight/test_lint.py::test_name_of_a_loss',
    '`ValueError: Expected more': 'tests/segmentation/models/heads/test_context_head.py::test_every_parameter_learns',
    '`loss: nan`': 'tests/common/hooks/test_non_finite_guard.py::test_batch_is_kept_named_and_replayed',
    'a training from random': 'tests/common/preflight/test_lint.py::test_stage_that_freezes_random_weights',
    '`unexpected key': 'tests/common/hooks/test_initialisation_proof_hook.py::test_a_wrong_prefix_stops_by_itself',
    'frozen weights move': 'tests/common/test_staged_train_loop.py::',
    '`EADDRINUSE`': 'tests/tools/test_launch_scripts.py::test_one_machine_takes_a_free_port',
    '`--launcher pytorch` fails': 'tests/tools/test_train_and_test.py::',
    'no validation loss': 'tests/segmentation/evaluation/test_val_loss_hook.py::test_as_the_head_computes_it',
    '`UnpicklingError': 'tests/common/test_checkpoints.py::test_checkpoint_of_a_training',
    'a checkpoint is refused': 'tests/common/test_checkpoints.py::test_trust_lets_one_file_through_and_says_what',
    '`PytorchStreamReader': 'tests/common/test_durable_runner.py::test_resume_in_a_config_takes_the_newest_sound',
    'resuming takes hours': 'tests/common/test_durable_runner.py::test_what_was_broken_off_ends_as_the_whole',
    'position embeddings': 'tests/classification/converters/test_vit.py::',
    '`CUDA out of memory`': 'tests/segmentation/test_tta.py::test_views_do_not_pile_up',
    'no scores of single': 'tests/segmentation/evaluation/test_val_loss_hook.py::test_a_run_logs_loss_and_scores',
    'mAP differs': 'tests/detection/test_voc_detection_metric.py::test_as_upstream',
    'VOC2007 and VOC2012': 'tests/detection/test_voc0712_split_dataset.py::test_parts',
    'one run is 0.3 better': 'tests/analysis/test_run_comparison.py::',
    '`Unsupported operator': 'tests/analysis/test_flops.py::test_vit_block_closed_form',
    'FLOPs differ': 'tests/analysis/test_flops.py::test_conv_net_agrees_with_torch_counter',
    'attention maps': 'tests/classification/attention/test_capture.py::test_fused_or_not_makes_no_difference',
    't-SNE pictures': 'tests/analysis/test_embedding.py::',
}


def symptoms() -> list[str]:
    rows = [line for line in PAGE.read_text(encoding='utf-8').splitlines() if line.startswith('| ')]
    return [row[2:].split(' | ')[0] for row in rows if not row.startswith(('| you see', '| ---'))]


@pytest.mark.parametrize('symptom', symptoms(), ids=lambda text: re.sub(r'\W+', '-', text)[:40])
def test_every_entry_has_evidence(symptom):
    found = [test for begin, test in EVIDENCE.items() if symptom.startswith(begin)]
    assert len(found) == 1, f'{symptom!r}: name one test of the remedy in EVIDENCE'
    path, _, name = found[0].partition('::')
    assert (ROOT / path).is_file(), path
    assert f'def {name or "test_"}' in (ROOT / path).read_text(encoding='utf-8'), found[0]


def test_no_evidence_is_left_over():
    assert [begin for begin in EVIDENCE if not any(symptom.startswith(begin) for symptom in symptoms())] == []


def said(call) -> str:
    with pytest.raises(Exception) as caught:
        call()
    return ' '.join(f'{caught.type.__name__}: {caught.value}'.split())


def test_upstream_still_says_so(mmseg_scope):
    """The texts that a reader searches for; one that no longer appears belongs off the page."""
    import torch
    from mmseg.models.losses import CrossEntropyLoss, LovaszLoss
    from mmseg.models.losses.ohem_cross_entropy_loss import OhemCrossEntropy
    from mmseg.registry import MODELS

    page = ' '.join(PAGE.read_text(encoding='utf-8').split())
    logits, labels = torch.zeros(1, 19, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 0, 0] = 255
    weighted = CrossEntropyLoss(class_weight=[1.0] * 19, avg_non_ignore=True)
    assert said(lambda: weighted(logits, labels, ignore_index=255)) in page
    assert said(lambda: OhemCrossEntropy()(logits, labels, ignore_index=255)).removeprefix('TypeError: ') in page
    assert said(LovaszLoss) in page
    assert said(lambda: CrossEntropyLoss()(logits, labels * 0 + 25, ignore_index=255)) in page
    assert said(lambda: MODELS.build(dict(type='X'))).split(' Please')[0].replace('"', '') in page
    assert said(lambda: torch.nn.BatchNorm2d(8)(torch.zeros(1, 8, 1, 1))).split(',')[0] in page
    # and what upstream does in silence
    labels[:] = 255
    labels[0, 0] = 0
    diluted = CrossEntropyLoss()(logits, labels, ignore_index=255)
    assert diluted / torch.nn.functional.cross_entropy(logits, labels, ignore_index=255) == pytest.approx(0.25)
