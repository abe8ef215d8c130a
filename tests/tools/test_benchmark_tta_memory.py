import json


def test_two_views_need_what_twelve_need(load_tool, in_root, tmp_path, capsys):
    main = load_tool('benchmarks/tta_memory.py').main
    config = 'configs/segmentation/segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py'
    assert main(['--config', config, '--size', '96', '160', '--json', str(tmp_path / 'm.json')]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 6
    assert 'DIFFERS' not in printed
    networks = json.loads((tmp_path / 'm.json').read_text())['networks']
    assert list(networks) == ['light', 'segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368']
    for network in networks.values():
        few, many = network['peak_mb']['StreamingTTA']
        assert few * 0.95 < many < few * 1.05
        few, many = network['peak_mb']['mmseg SegTTAModel']
        assert many > few
