import re

from mmext.common.hooks.run_summary_hook import summary_lines


def test_names_checkpoint_metrics_and_pictures(tmp_path):
    pictures = tmp_path / 'vis_data' / 'vis_image'
    pictures.mkdir(parents=True)
    (pictures / 'a_0.png').touch()
    (tmp_path / 'vis_data' / 'scalars.json').touch()
    lines = summary_lines({'best_score': 43.371, 'best_ckpt': 'work/best.pth'}, tmp_path)
    assert lines == [
        'best checkpoint (43.37): work/best.pth',
        f'metrics: {tmp_path}/vis_data/scalars.json',
        f'pictures (1): {pictures}',
    ]


def test_says_nothing_about_what_is_not_there(tmp_path):
    assert summary_lines({}, tmp_path) == []


def test_a_classifier_ends_with_a_table_of_its_accuracies():
    from mmext.common.hooks.run_summary_hook import accuracy_table

    table = accuracy_table({'val/accuracy/top1': 31.5, 'train/loss': 2.0, 'val/accuracy/top5': 72.504})
    assert re.findall(r'top\d|[\d.]+', table) == ['top1', 'top5', '31.50', '72.50']
    assert accuracy_table({'val/mIoU': 50.0}) == ''
