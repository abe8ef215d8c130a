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
